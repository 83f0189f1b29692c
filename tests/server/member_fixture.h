#pragma once

// Members started inside the test process, on free ports and in a directory of their own.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/server.h"

namespace keel::server {

// A directory that goes with the test.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A member alone in its cluster: n1 on free ports of 127.0.0.1, data in <dir>/n1, quick elections.
Config OneMember(const std::string& dir);

// A port of 127.0.0.1, as tools::FreePort() finds them.
uint16_t FreePort();

struct HttpAnswer {
  int status = 0;
  std::string headers;
  std::string body;
};

// One request on a connection of its own.
HttpAnswer HttpCall(const Url& url, std::string_view method, std::string_view target);

// Calls `holds` until it says true; false after a generous while.
bool Eventually(const std::function<bool()>& holds);

}  // namespace keel::server
