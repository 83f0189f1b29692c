#pragma once

// A member of its own for each test, and short ways to ask its gateway.

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "server/server.h"
#include "tests/gateway/http_client.h"
#include "tests/server/member_fixture.h"

namespace keel::server {

using nlohmann::json;

inline std::string Base64(const std::string& bytes) { return absl::Base64Escape(bytes); }

class GatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Config config = OneMember(dir_.path());
    auto server = Server::Start(std::move(config), [](absl::Status status) { ADD_FAILURE() << "fatal: " << status; });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    url_ = server_->client_addresses().front();
    auto ready = std::make_shared<absl::Notification>();
    server_->OnReady([ready] { ready->Notify(); });
    ASSERT_TRUE(ready->WaitForNotificationWithTimeout(absl::Seconds(60)));
    client_.emplace(url_);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  Answer Post(const std::string& path, const json& body) { return client_->Post(path, body.dump()); }
  // Must succeed.
  json Ask(const std::string& path, const json& body) {
    const Answer answer = Post(path, body);
    EXPECT_EQ(answer.status, 200u) << path << ": " << answer.body;
    EXPECT_EQ(answer.headers["Content-Type"], "application/json");
    return answer.json();
  }
  json Put(const std::string& key, const std::string& value) {
    return Ask("/v3/kv/put", {{"key", Base64(key)}, {"value", Base64(value)}});
  }
  // The body of a failed unary call.
  static std::string ErrorBody(int code, const std::string& text) {
    return nlohmann::ordered_json(
               {{"error", text}, {"code", code}, {"message", text}, {"details", nlohmann::ordered_json::array()}})
        .dump();
  }

  TempDir dir_;
  std::unique_ptr<Server> server_;
  Url url_;
  std::optional<HttpClient> client_;
};

}  // namespace keel::server
