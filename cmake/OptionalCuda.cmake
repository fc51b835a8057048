# LAYERBITS_CUDA: AUTO takes a CUDA compiler where there is one, ON insists on it, OFF does not look.
# Sets LAYERBITS_CUDA_COMPILER to its path, or to nothing. There is no CUDA source yet: the answer is only reported.
set(LAYERBITS_CUDA AUTO CACHE STRING "Build the CUDA back end: AUTO, ON or OFF")
set_property(CACHE LAYERBITS_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT LAYERBITS_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LAYERBITS_CUDA: got '${LAYERBITS_CUDA}', wanted AUTO, ON or OFF")
endif()

set(LAYERBITS_CUDA_COMPILER "")
if(NOT LAYERBITS_CUDA STREQUAL OFF)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(LAYERBITS_CUDA_COMPILER "${CMAKE_CUDA_COMPILER}")
  elseif(LAYERBITS_CUDA STREQUAL ON)
    message(FATAL_ERROR "LAYERBITS_CUDA is ON, but there is no CUDA compiler: install one, name it in CUDACXX, or set AUTO")
  endif()
endif()
