#include "tools/keelctl/key_tree.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "tools/keelctl/event_line.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

struct Node {
  std::map<std::string, Node> children;  // By the part of the key, with its slash if more follows or it ends in one.
  const KeyValue* kv = nullptr;
};

std::string Escaped(const std::string& part) {
  const std::string quoted = GoQuote(part);
  return quoted.size() == part.size() + 2 ? part : quoted.substr(1, quoted.size() - 2);
}

void Print(const Node& node, const std::string& indent, const TreeStyle& style, std::string* out) {
  size_t left = node.children.size();
  for (const auto& [part, child] : node.children) {
    const bool last = --left == 0;
    std::string name = Escaped(part);
    const Node* shown = &child;
    while (shown->kv == nullptr && shown->children.size() == 1) {
      absl::StrAppend(&name, Escaped(shown->children.begin()->first));
      shown = &shown->children.begin()->second;
    }
    absl::StrAppend(out, indent, last ? "└── " : "├── ", name);
    if (shown->kv != nullptr && style.values) absl::StrAppend(out, " = ", Shown(shown->kv->value));
    *out += "\n";
    Print(*shown, absl::StrCat(indent, last ? "    " : "│   "), style, out);
  }
}

}  // namespace

std::string KeyTree(const std::vector<KeyValue>& kvs, const TreeStyle& style) {
  Node root;
  for (const KeyValue& kv : kvs) {
    Node* node = &root;
    size_t begin = 0;
    while (begin < kv.key.size()) {
      const size_t slash = kv.key.find('/', begin);
      const size_t end = slash == std::string::npos ? kv.key.size() : slash + 1;
      node = &node->children[kv.key.substr(begin, end - begin)];
      begin = end;
    }
    node->kv = &kv;
  }
  std::string out = ".\n";
  Print(root, "", style, &out);
  return out;
}

}  // namespace keel::ctl
