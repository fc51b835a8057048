# Warnings that our own sources are free of.
function(layerbits_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow)
endfunction()
