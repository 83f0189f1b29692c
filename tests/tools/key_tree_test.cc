#include "tools/keelctl/key_tree.h"

#include <gtest/gtest.h>

namespace keel::ctl {
namespace {

std::string TreeOf(const std::vector<std::string>& keys, const TreeStyle& style = {.values = false}) {
  std::vector<KeyValue> kvs;
  for (const std::string& key : keys) kvs.push_back({.key = key, .value = "v"});
  return KeyTree(kvs, style);
}

TEST(KeyTreeTest, DrawsPartsBetweenSlashes) {
  const struct Case {
    const char* name;
    std::vector<std::string> keys;
    std::string tree;
  } kCases[] = {
      {"nothing", {}, ".\n"},
      {"one", {"a"}, ".\n└── a\n"},
      {"siblings", {"a/b", "a/c"}, ".\n└── a/\n    ├── b\n    └── c\n"},
      {"a lone path is one line", {"/config/app/port"}, ".\n└── /config/app/port\n"},
      {"a key with others below it", {"a", "a/", "a/b"}, ".\n├── a\n└── a/\n    └── b\n"},
      {"bars go on beside what follows", {"a/b", "a/c", "d"}, ".\n├── a/\n│   ├── b\n│   └── c\n└── d\n"},
      {"empty parts", {"a//b", "a//c"}, ".\n└── a//\n    ├── b\n    └── c\n"},
      {"bytes", {std::string("\x01\xff")}, ".\n└── \\x01\\xff\n"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(TreeOf(c.keys), c.tree);
  }
}

TEST(KeyTreeTest, ShowsValuesInOneLine) {
  EXPECT_EQ(KeyTree({{.key = "a", .value = "x\ny"}}), ".\n└── a = \"x\\ny\"\n");
  const std::string tree = KeyTree({{.key = "a", .value = std::string(1000, 'x')}});
  EXPECT_LT(tree.size(), 300u);
  EXPECT_NE(tree.find("1.0 kB"), std::string::npos);
}

}  // namespace
}  // namespace keel::ctl
