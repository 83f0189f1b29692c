#pragma once

namespace keel::keeld {

// Tells the service manager that the member serves (systemd's protocol: the datagram READY=1 to $NOTIFY_SOCKET). No
// effect when nobody asked for it.
void NotifyReady();

}  // namespace keel::keeld
