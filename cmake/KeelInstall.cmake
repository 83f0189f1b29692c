# What `cmake --install` puts in place: keeld and keelctl, and the client library for other projects, which find it by
# find_package(keel) as keel::client, or by pkg-config as keel.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# keel_install(): once all targets are known. The client library is static; so are the rooms it stands on, which are
# installed beside it but are nobody else's business: their headers stay here.
function(keel_install)
  if(TARGET keelctl)
    install(TARGETS keelctl RUNTIME)
  endif()
  set_target_properties(keel_client PROPERTIES EXPORT_NAME client)
  set_target_properties(keel_proto PROPERTIES EXPORT_NAME proto)
  set_target_properties(keel_base PROPERTIES EXPORT_NAME base)
  install(TARGETS keel_client keel_proto keel_base EXPORT keel ARCHIVE)
  install(DIRECTORY client/include/keel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

  set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/keel")
  install(EXPORT keel NAMESPACE keel:: FILE keelTargets.cmake DESTINATION ${package_dir})
  configure_package_config_file(cmake/keelConfig.cmake.in "${CMAKE_BINARY_DIR}/keelConfig.cmake"
                                INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
  # Before 1.0 a minor release may change the interface.
  write_basic_package_version_file("${CMAKE_BINARY_DIR}/keelConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${CMAKE_BINARY_DIR}/keelConfig.cmake" "${CMAKE_BINARY_DIR}/keelConfigVersion.cmake"
          DESTINATION ${package_dir})

  # Found from where the .pc file is, so that an installed tree can be moved.
  file(RELATIVE_PATH KEEL_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  configure_file(cmake/keel.pc.in "${CMAKE_BINARY_DIR}/keel.pc" @ONLY)
  install(FILES "${CMAKE_BINARY_DIR}/keel.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
