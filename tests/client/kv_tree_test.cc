#include "client/src/kv_tree.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace keel::client {
namespace {

using Model = std::map<std::string, std::string>;

void ExpectSame(const KvTree& tree, const Model& model) {
  EXPECT_EQ(SizeOf(tree), model.size());
  size_t bytes = 0;
  for (const auto& [key, value] : model) {
    bytes += key.size() + value.size();
    const KeyValue* kv = Find(tree, key);
    ASSERT_NE(kv, nullptr) << key;
    EXPECT_EQ(kv->value, value);
  }
  EXPECT_EQ(BytesOf(tree), bytes);
}

int Depth(const KvTree& tree) { return tree == nullptr ? 0 : 1 + std::max(Depth(tree->left), Depth(tree->right)); }

TEST(KvTreeTest, DoesWhatAMapDoesAndOldTreesStayAsTheyWere) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  KvTree tree;
  Model model;
  std::vector<std::pair<KvTree, Model>> history;
  for (int i = 0; i < 3000; ++i) {
    const std::string key = absl::StrCat("k", random.Below(300));
    if (random.Below(3) == 0) {
      tree = Without(tree, key);
      model.erase(key);
    } else {
      tree = With(tree, {.key = key, .value = absl::StrCat(i)});
      model[key] = absl::StrCat(i);
    }
    EXPECT_EQ(Find(tree, key) != nullptr, model.contains(key));
    if (i % 100 == 0) history.emplace_back(tree, model);
  }
  history.emplace_back(tree, model);
  for (const auto& [old_tree, old_model] : history) ExpectSame(old_tree, old_model);
}

TEST(KvTreeTest, ABuiltTreeIsTheOneThatInsertsWouldMake) {
  std::vector<KeyValue> sorted;
  KvTree inserted;
  Model model;
  for (int i = 0; i < 1000; ++i) {
    sorted.push_back({.key = absl::StrCat("k", 1000 + i), .value = absl::StrCat(i)});
    inserted = With(inserted, sorted.back());
    model[sorted.back().key] = sorted.back().value;
  }
  const KvTree built = BuildTree(sorted);
  ExpectSame(built, model);
  EXPECT_EQ(Depth(built), Depth(inserted));
  EXPECT_EQ(BuildTree({}), nullptr);
}

TEST(KvTreeTest, StaysShallowWhenKeysComeInOrder) {
  KvTree tree;
  for (int i = 0; i < 20000; ++i) tree = With(tree, {.key = absl::StrCat("k", 100000 + i)});
  EXPECT_LT(Depth(tree), 80);  // About 2 ln(20000) = 20 on average.
}

}  // namespace
}  // namespace keel::client
