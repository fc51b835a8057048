# The CUDA back end, layerbits.kernels._cuda: layerbits_add_cuda().
#
# LAYERBITS_CUDA: AUTO builds the back end for the devices of this machine, if it has devices and a CUDA compiler. ON
# requires a compiler and builds for Ampere, Hopper and, from CUDA 12.8 on, Blackwell of data centers, with PTX of the
# last of these for newer devices. PORTABLE, for wheels, builds for the same devices if there is a compiler. OFF does not
# search for a compiler. CMAKE_CUDA_ARCHITECTURES names other architectures; with AUTO, too, the back end is then built.
# LAYERBITS_CUDA_EMULATION compiles the same sources by the C++ compiler as _cuda_emulated, and a stand-in for the
# devices of a torch without CUDA, for tests without a device.
set(LAYERBITS_CUDA AUTO CACHE STRING "Build the CUDA back end: AUTO, ON, PORTABLE or OFF")
set_property(CACHE LAYERBITS_CUDA PROPERTY STRINGS AUTO ON PORTABLE OFF)
if(NOT LAYERBITS_CUDA MATCHES "^(AUTO|ON|PORTABLE|OFF)$")
  message(FATAL_ERROR "LAYERBITS_CUDA: got '${LAYERBITS_CUDA}', wanted AUTO, ON, PORTABLE or OFF")
endif()
option(LAYERBITS_CUDA_EMULATION "Build the CUDA kernels for the host, for tests" OFF)

# Sets `result` to the architectures of the devices that the driver lists, such as "80;90".
function(_layerbits_device_architectures result)
  execute_process(
    COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE output
    ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${output}")
  list(TRANSFORM capabilities REPLACE "\\." "")
  list(REMOVE_DUPLICATES capabilities)
  set(${result} ${capabilities} PARENT_SCOPE)
endfunction()

if(LAYERBITS_CUDA STREQUAL AUTO AND NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  _layerbits_device_architectures(_layerbits_devices)
  if(_layerbits_devices)
    set(CMAKE_CUDA_ARCHITECTURES ${_layerbits_devices})
  endif()
else()
  set(_layerbits_devices ON) # not asked for
endif()

set(LAYERBITS_HAS_CUDA OFF)
if(NOT LAYERBITS_CUDA STREQUAL OFF AND _layerbits_devices)
  include(CheckLanguage)
  set(_layerbits_default_architectures OFF)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    set(_layerbits_default_architectures ON)
    set(CMAKE_CUDA_ARCHITECTURES 80) # for check_language: every CUDA compiler since version 11 supports it
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.0) # the first version with C++20
      set(LAYERBITS_HAS_CUDA ON)
    endif()
  endif()
  if(LAYERBITS_CUDA STREQUAL ON AND NOT LAYERBITS_HAS_CUDA)
    message(FATAL_ERROR "LAYERBITS_CUDA is ON, but there is no CUDA compiler of version 12 or later: "
                        "install one, name it in CUDACXX, or set AUTO")
  endif()
  if(_layerbits_default_architectures AND CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  elseif(_layerbits_default_architectures)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  endif()
endif()

file(GLOB LAYERBITS_CUDA_SOURCES CONFIGURE_DEPENDS csrc/cuda/*.cu)

function(_layerbits_cuda_module name)
  pybind11_add_module(${name} csrc/bindings/cuda_module.cpp ${LAYERBITS_BINDING_SOURCES} ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  list(JOIN CMAKE_CUDA_ARCHITECTURES " " architectures)
  target_compile_definitions(${name} PRIVATE LAYERBITS_MODULE=${name} "LAYERBITS_ARCHITECTURES=\"${architectures}\"")
endfunction()

function(layerbits_add_cuda)
  if(LAYERBITS_HAS_CUDA)
    _layerbits_cuda_module(_cuda ${LAYERBITS_CUDA_SOURCES})
    # No contraction: the sources state where a product and a sum are one operation, as for the CPU. Warning 2810 is
    # wrong: nvcc reports an assigned Status as discarded.
    target_compile_options(
      _cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
                    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false -diag-suppress=2810 -Xcompiler=-ffp-contract=off>)
    # Static, so that the module can be imported without a driver and report that the driver is missing.
    set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_STANDARD 20 CUDA_VISIBILITY_PRESET hidden)
    install(TARGETS _cuda LIBRARY DESTINATION layerbits/kernels)
    message(STATUS "layerbits: CUDA kernels for ${CMAKE_CUDA_ARCHITECTURES} by ${CMAKE_CUDA_COMPILER}")
  else()
    set(reason "LAYERBITS_CUDA is ${LAYERBITS_CUDA}")
    if(LAYERBITS_CUDA STREQUAL PORTABLE)
      set(reason "there is no CUDA compiler of version 12 or later")
    elseif(NOT _layerbits_devices)
      set(reason "nvidia-smi lists no device; LAYERBITS_CUDA=ON builds them nevertheless")
    endif()
    message(STATUS "layerbits: no CUDA kernels (${reason})")
  endif()

  if(LAYERBITS_CUDA_EMULATION)
    set(sources)
    foreach(source ${LAYERBITS_CUDA_SOURCES})
      get_filename_component(name ${source} NAME_WE)
      set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/emulation/${name}.cpp)
      file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n")
      list(APPEND sources ${wrapper})
    endforeach()
    set(emulation tests/cuda/emulation)
    # Without optimization at link time, which takes a third of the build of this module, on a single core.
    _layerbits_cuda_module(_cuda_emulated NO_EXTRAS ${emulation}/fibers.cpp ${sources})
    target_compile_definitions(_cuda_emulated PRIVATE LAYERBITS_EMULATED)
    # Loops over the dimensions set all values, because there is at least one; GCC does not know that.
    target_compile_options(_cuda_emulated PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    # Two programs call every operation: cuda_memory under AddressSanitizer and UBSan, cuda_races under the race checker
    # in races.cpp, which replaces the runtime of -fsanitize=thread.
    set(memory_checks -fsanitize=address,undefined -fno-sanitize-recover=all)
    add_executable(cuda_memory ${emulation}/hazards.cpp ${emulation}/fibers.cpp ${sources})
    target_compile_options(cuda_memory PRIVATE ${memory_checks} -O1 -g1)
    target_link_options(cuda_memory PRIVATE ${memory_checks})
    add_library(cuda_race_objects OBJECT ${emulation}/hazards.cpp ${sources})
    target_compile_options(cuda_race_objects PRIVATE -fsanitize=thread)
    add_executable(cuda_races ${emulation}/races.cpp ${emulation}/fibers.cpp $<TARGET_OBJECTS:cuda_race_objects>)
    foreach(target cuda_race_objects cuda_races)
      target_compile_definitions(${target} PRIVATE LAYERBITS_EMULATED_RACES)
    endforeach()
    foreach(target _cuda_emulated cuda_memory cuda_race_objects cuda_races)
      target_compile_features(${target} PRIVATE cxx_std_20)
      target_include_directories(${target} BEFORE PRIVATE ${emulation})
      target_compile_options(${target} PRIVATE -ffp-contract=off -Wno-unknown-pragmas)
    endforeach()
    layerbits_set_warnings(_cuda_emulated)
    _layerbits_torch_device()
  endif()
endfunction()

# Finds torch through the interpreter, because torch's CMake package would search for all libraries of torch's build.
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
  target_compile_options(torch_device PRIVATE -O1) # half the time of -O3 for the headers of torch
  target_include_directories(torch_device SYSTEM PRIVATE ${torch}/include)
  target_link_libraries(torch_device PRIVATE ${torch}/lib/libtorch_cpu.so ${torch}/lib/libc10.so)
endfunction()
