#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace keel::server {

// A callback that may come on any thread, as a call of `then` on the I/O thread that `post` leads to; nothing happens
// when its target, or that thread, is gone by then.
template <typename Target, typename Value>
auto OnIoThread(std::function<void(std::function<void()>)> post, std::weak_ptr<Target> target,
                void (Target::*then)(Value)) {
  return [post = std::move(post), target = std::move(target), then](Value value) {
    auto shared = std::make_shared<Value>(std::move(value));
    post([target, then, shared] {
      if (auto self = target.lock()) (self.get()->*then)(std::move(*shared));
    });
  };
}

}  // namespace keel::server
