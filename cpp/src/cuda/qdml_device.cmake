# A library with the table of device/interface.hpp: by nvcc (CUDA), or by the C++ compiler as an emulation (CXX).
# SPDX-License-Identifier: MIT
set(QDML_DEVICE_SOURCE ${CMAKE_CURRENT_LIST_DIR})

# Sets QDML_DEVICE_UNITS to the targets that compile kernels: the messages are one unit per number type and layout of sums,
# those along Clebsch-Gordan paths one per number type.
function(qdml_add_device_library name language)
  set(src ${QDML_DEVICE_SOURCE})
  set(units ${name}_kernels)
  add_library(${name}_kernels OBJECT ${src}/runtime.cu ${src}/node.cu ${src}/edges.cu ${src}/forces.cu
    ${src}/neighbors.cu)
  foreach(real IN ITEMS float double)
    set(unit ${name}_${real}_paths)
    add_library(${unit} OBJECT ${src}/paths.cu)
    target_compile_definitions(${unit} PRIVATE QDML_REAL=${real})
    list(APPEND units ${unit})
    foreach(separated IN ITEMS 0 1)
      set(unit ${name}_${real}_${separated})
      add_library(${unit} OBJECT ${src}/messages.cu)
      target_compile_definitions(${unit} PRIVATE QDML_REAL=${real} QDML_SEPARATED=${separated})
      list(APPEND units ${unit})
    endforeach()
  endforeach()
  set_source_files_properties(${src}/runtime.cu ${src}/node.cu ${src}/edges.cu ${src}/forces.cu ${src}/neighbors.cu
    ${src}/messages.cu ${src}/paths.cu PROPERTIES LANGUAGE ${language})
  add_library(${name} SHARED)
  foreach(unit IN LISTS units)
    target_compile_definitions(${unit} PRIVATE QDML_VERSION="${PROJECT_VERSION}")
    target_include_directories(${unit} PRIVATE ${src}/.. ${src}/../../include)
    set_target_properties(${unit} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${unit}>)
  endforeach()
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE ${language})
  set(QDML_DEVICE_UNITS ${units} PARENT_SCOPE)
endfunction()
