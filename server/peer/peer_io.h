#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace keel::server {

// The thread that reads what peers send. Its context takes work from any thread.
class PeerIo {
 public:
  PeerIo();
  ~PeerIo() { Stop(); }
  PeerIo(const PeerIo&) = delete;
  PeerIo& operator=(const PeerIo&) = delete;

  boost::asio::io_context& context() { return context_; }

  // What is still waiting is dropped. Idempotent; not from the thread itself.
  void Stop();

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace keel::server
