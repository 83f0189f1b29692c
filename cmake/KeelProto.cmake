# keel_proto(NAME PROTOS... [GRPC protos that also define services...])
# Generates and compiles protocol buffers below <build>/gen; included as "proto/kv.pb.h".
set(KEEL_GEN_DIR "${CMAKE_BINARY_DIR}/gen")

function(keel_proto name)
  cmake_parse_arguments(ARG "" "" "PROTOS;GRPC" ${ARGN})
  set(sources)
  foreach(proto IN LISTS ARG_PROTOS ARG_GRPC)
    set(in "${CMAKE_SOURCE_DIR}/proto/${proto}.proto")
    set(out "${KEEL_GEN_DIR}/proto/${proto}")
    set(outputs "${out}.pb.cc" "${out}.pb.h")
    set(plugin)
    if(proto IN_LIST ARG_GRPC)
      list(APPEND outputs "${out}.grpc.pb.cc" "${out}.grpc.pb.h")
      set(plugin "--grpc_out=${KEEL_GEN_DIR}" "--plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>")
    endif()
    file(GLOB_RECURSE all_protos "${CMAKE_SOURCE_DIR}/proto/*.proto")
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND ${CMAKE_COMMAND} -E make_directory "${KEEL_GEN_DIR}"
      COMMAND protobuf::protoc "--proto_path=${CMAKE_SOURCE_DIR}" "--cpp_out=${KEEL_GEN_DIR}" ${plugin} "proto/${proto}.proto"
      DEPENDS ${all_protos}
      WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
      VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC "$<BUILD_INTERFACE:${KEEL_GEN_DIR}>")
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf)
  if(ARG_GRPC)
    target_link_libraries(${name} PUBLIC gRPC::grpc++)
  endif()
endfunction()
