#pragma once

namespace keel::server {

// What the system says of this process; 0 where it says nothing.
struct ProcessFacts {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double max_virtual_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;
  // Of all interfaces that it can see, and so of whoever else can.
  double network_received_bytes = 0;
  double network_sent_bytes = 0;
};

// Reads a handful of files below /proc.
ProcessFacts ReadProcessFacts();

}  // namespace keel::server
