# Compiler settings that hold for every room.

option(KEEL_TESTS "Build the tests" ON)
option(KEEL_BENCHMARKS "Build keel-bench and the micro-benchmarks" ON)
option(KEEL_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" ON)
set(KEEL_SANITIZE "" CACHE STRING "Comma-separated sanitizers: address,undefined or thread")

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")  # KEEL_CHECK does not depend on NDEBUG; line tables keep profiles readable.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")

find_program(KEEL_CCACHE ccache)
if(KEEL_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${KEEL_CCACHE}")
endif()

find_program(KEEL_MOLD mold)
if(KEEL_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(KEEL_SANITIZE)
  add_compile_options(-fsanitize=${KEEL_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KEEL_SANITIZE})
  if(KEEL_SANITIZE MATCHES "undefined")
    # A finding must fail the test that made it.
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# Warnings for our own code; generated code gets none of them.
add_library(keel_warnings INTERFACE)
target_compile_options(keel_warnings INTERFACE -Wall -Wextra -Wnon-virtual-dtor -Wshadow=local -Wsuggest-override
                       # Designated initialisers leave fields at their defaults on purpose.
                       -Wno-missing-field-initializers
                       # g++ 12 sees uninitialised storage inside absl's inlined vectors when it optimises.
                       -Wno-maybe-uninitialized)
if(KEEL_WARNINGS_AS_ERRORS)
  target_compile_options(keel_warnings INTERFACE -Werror)
endif()
