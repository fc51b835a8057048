# layerbits_set_warnings(target): enables warnings; the sources cause none.
function(layerbits_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow)
endfunction()
