# layerbits_set_warnings(target): enables the warnings of which our sources are free.
function(layerbits_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow)
endfunction()
