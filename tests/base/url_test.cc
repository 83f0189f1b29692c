#include "base/url.h"

#include <gtest/gtest.h>

namespace keel {
namespace {

TEST(UrlTest, ParsesWhatMembersAndClientsWrite) {
  struct Case {
    const char* name;
    const char* text;
    Url want;
    const char* target;
  };
  const Case kCases[] = {
      {"plain", "http://10.0.0.1:2379", {Url::Scheme::kHttp, "10.0.0.1", 2379, ""}, "10.0.0.1:2379"},
      {"tls", "https://a.example:1", {Url::Scheme::kHttps, "a.example", 1, ""}, "a.example:1"},
      {"ipv6", "http://[::1]:2380", {Url::Scheme::kHttp, "::1", 2380, ""}, "[::1]:2380"},
      {"trailing slash", "http://h:1/", {Url::Scheme::kHttp, "h", 1, ""}, "h:1"},
      {"unix", "unix:///tmp/a.sock", {Url::Scheme::kUnix, "", 0, "/tmp/a.sock"}, "unix:/tmp/a.sock"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const absl::StatusOr<Url> url = ParseUrl(c.text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(*url, c.want);
    EXPECT_EQ(url->Target(), c.target);
  }
}

TEST(UrlTest, RefusesWithTheTextAndTheReason) {
  for (const char* text : {"", "localhost:2379", "ftp://h:1", "http://h", "http://:1", "http://h:x", "http://h:65536",
                           "http://h:1/path", "http://::1:1", "http://[::1:1", "unix://", "http://u@h:1"}) {
    const absl::StatusOr<Url> url = ParseUrl(text);
    EXPECT_EQ(url.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(std::string(url.status().message()).find(text), std::string::npos) << url.status();
  }
}

TEST(UrlTest, ListIsSortedWithoutDuplicates) {
  const auto urls = ParseUrlList("http://b:1,http://a:1,http://b:1");
  ASSERT_TRUE(urls.ok());
  ASSERT_EQ(urls->size(), 2u);
  EXPECT_EQ((*urls)[0].host, "a");
  EXPECT_EQ((*urls)[1].host, "b");
}

TEST(UrlTest, EndpointMayBeBare) {
  ASSERT_TRUE(ParseEndpoint("127.0.0.1:2379").ok());
  EXPECT_EQ(ParseEndpoint("127.0.0.1:2379")->ToString(), "http://127.0.0.1:2379");
}

}  // namespace
}  // namespace keel
