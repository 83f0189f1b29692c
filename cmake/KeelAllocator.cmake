# keel_fast_malloc(TARGET): links an allocator made for many threads into an executable. Measured on writes, jemalloc saves
# about a seventh of the CPU against glibc's and keeps less memory after a burst; mimalloc comes close and stands in where
# it is missing. Sanitizers bring their own.
function(keel_fast_malloc target)
  if(KEEL_SANITIZE)
    return()
  endif()
  pkg_check_modules(KEEL_JEMALLOC QUIET IMPORTED_TARGET jemalloc)
  find_package(mimalloc QUIET CONFIG)
  if(KEEL_JEMALLOC_FOUND)
    target_link_libraries(${target} PRIVATE -Wl,--no-as-needed PkgConfig::KEEL_JEMALLOC -Wl,--as-needed)
  elseif(TARGET mimalloc)
    target_link_libraries(${target} PRIVATE -Wl,--no-as-needed mimalloc -Wl,--as-needed)
  endif()
endfunction()
