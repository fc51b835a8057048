# layerbits_harden(target): compiles with checks of the stack and of buffers, and links with a read-only table of
# addresses.
#
# -fstack-protector-strong ends a process whose return address was overwritten; _FORTIFY_SOURCE=2, for which the compiler
# must optimize, checks sizes in calls of the C library. It would hide errors from sanitizers.
function(layerbits_harden target)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL Linux)
    return()
  endif()
  # All addresses are resolved when a module is loaded, and their table is then read-only.
  target_link_options(${target} PRIVATE LINKER:-z,relro,-z,now)
  target_compile_options(${target} PRIVATE -fstack-protector-strong)
  if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  endif()
endfunction()
