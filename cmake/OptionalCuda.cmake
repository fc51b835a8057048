# The CUDA back end, layerbits.kernels._cuda: layerbits_add_cuda().
#
# LAYERBITS_CUDA: AUTO builds it where there is a CUDA compiler, ON insists on one, OFF does not look.
# CMAKE_CUDA_ARCHITECTURES: by default Ampere, Hopper and Blackwell of data centers, and PTX of the last for what comes after;
# "90" is the fastest way to one of them. LAYERBITS_CUDA_EMULATION builds _cuda_emulated from the same sources by
# the C++ compiler, and a stand-in for the devices of a torch without CUDA: slow, for the tests of machines without a device.
set(LAYERBITS_CUDA AUTO CACHE STRING "Build the CUDA back end: AUTO, ON or OFF")
set_property(CACHE LAYERBITS_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT LAYERBITS_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LAYERBITS_CUDA: got '${LAYERBITS_CUDA}', wanted AUTO, ON or OFF")
endif()
option(LAYERBITS_CUDA_EMULATION "Build the CUDA kernels for the host, for tests" OFF)

set(LAYERBITS_HAS_CUDA OFF)
if(NOT LAYERBITS_CUDA STREQUAL OFF)
  include(CheckLanguage)
  set(_layerbits_chooses OFF)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    set(_layerbits_chooses ON)
    set(CMAKE_CUDA_ARCHITECTURES 80) # for the trials: every compiler that can build this knows it
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.0) # the first with C++20
      set(LAYERBITS_HAS_CUDA ON)
    endif()
  endif()
  if(LAYERBITS_CUDA STREQUAL ON AND NOT LAYERBITS_HAS_CUDA)
    message(FATAL_ERROR "LAYERBITS_CUDA is ON, but there is no CUDA compiler of version 12 or later: "
                        "install one, name it in CUDACXX, or set AUTO")
  endif()
  if(_layerbits_chooses AND CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  elseif(_layerbits_chooses)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  endif()
endif()

set(_layerbits_cuda_sources device distance_histogram log_sum_exp_full log_sum_exp_isotropic
                            log_sum_exp_isotropic_gradient peak pruned_log_sum_exp sides standard_normal)

function(_layerbits_cuda_module name)
  pybind11_add_module(${name} csrc/bindings/cuda_module.cpp csrc/bindings/arguments.cpp csrc/bindings/operation_arguments.cpp ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  list(JOIN CMAKE_CUDA_ARCHITECTURES " " architectures)
  target_compile_definitions(${name} PRIVATE LAYERBITS_MODULE=${name} "LAYERBITS_ARCHITECTURES=\"${architectures}\"")
endfunction()

function(layerbits_add_cuda)
  if(LAYERBITS_HAS_CUDA)
    list(TRANSFORM _layerbits_cuda_sources REPLACE "(.+)" "csrc/cuda/\\1.cu" OUTPUT_VARIABLE sources)
    _layerbits_cuda_module(_cuda ${sources})
    # Contraction is off for the reason that it is in the core. 2810: nvcc takes the assignment of a status for its loss.
    target_compile_options(
      _cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
                    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false -diag-suppress=2810 -Xcompiler=-ffp-contract=off>)
    # Static, so that the module can be imported, and say what is missing, where there is no driver.
    set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_STANDARD 20 CUDA_VISIBILITY_PRESET hidden)
    install(TARGETS _cuda LIBRARY DESTINATION layerbits/kernels)
    message(STATUS "layerbits: CUDA kernels for ${CMAKE_CUDA_ARCHITECTURES} by ${CMAKE_CUDA_COMPILER}")
  else()
    message(STATUS "layerbits: no CUDA kernels (LAYERBITS_CUDA is ${LAYERBITS_CUDA})")
  endif()

  if(LAYERBITS_CUDA_EMULATION)
    set(sources)
    foreach(source ${_layerbits_cuda_sources})
      set(copy ${CMAKE_CURRENT_BINARY_DIR}/emulation/${source}.cpp)
      file(CONFIGURE OUTPUT ${copy} CONTENT "#include \"${CMAKE_CURRENT_SOURCE_DIR}/csrc/cuda/${source}.cu\"\n")
      list(APPEND sources ${copy})
    endforeach()
    set(emulation tests/cuda/emulation)
    _layerbits_cuda_module(_cuda_emulated ${emulation}/fibers.cpp ${sources})
    target_compile_definitions(_cuda_emulated PRIVATE LAYERBITS_EMULATED)
    # Sanitizers look on while every verb is called; races.cpp is the run-time part of the second.
    set(of_memory -fsanitize=address,undefined -fno-sanitize-recover=all)
    add_executable(cuda_memory ${emulation}/hazards.cpp ${emulation}/fibers.cpp ${sources})
    target_compile_options(cuda_memory PRIVATE ${of_memory} -O1 -g1)
    target_link_options(cuda_memory PRIVATE ${of_memory})
    add_library(cuda_watched OBJECT ${emulation}/hazards.cpp ${sources})
    target_compile_options(cuda_watched PRIVATE -fsanitize=thread)
    add_executable(cuda_races ${emulation}/races.cpp ${emulation}/fibers.cpp $<TARGET_OBJECTS:cuda_watched>)
    foreach(target cuda_watched cuda_races)
      target_compile_definitions(${target} PRIVATE LAYERBITS_EMULATED_RACES)
    endforeach()
    foreach(target _cuda_emulated cuda_memory cuda_watched cuda_races)
      target_compile_features(${target} PRIVATE cxx_std_20)
      target_include_directories(${target} BEFORE PRIVATE ${emulation})
      target_compile_options(${target} PRIVATE -ffp-contract=off -Wno-unknown-pragmas)
    endforeach()
    layerbits_set_warnings(_cuda_emulated)
    _layerbits_torch_device()
  endif()
endfunction()

# torch is found by the interpreter; its own package for cmake would look for all that torch was built with.
function(_layerbits_torch_device)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c
            "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0], end='')"
    OUTPUT_VARIABLE torch
    RESULT_VARIABLE failed
    ERROR_QUIET)
  if(failed)
    message(STATUS "layerbits: ${Python_EXECUTABLE} has no torch: no stand-in for its devices")
    return()
  endif()
  add_library(torch_device MODULE tests/cuda/emulation/torch_device.cpp)
  set_target_properties(torch_device PROPERTIES PREFIX "" BUILD_RPATH ${torch}/lib)
  target_compile_features(torch_device PRIVATE cxx_std_20)
  target_include_directories(torch_device SYSTEM PRIVATE ${torch}/include)
  target_link_libraries(torch_device PRIVATE ${torch}/lib/libtorch_cpu.so ${torch}/lib/libc10.so)
endfunction()
