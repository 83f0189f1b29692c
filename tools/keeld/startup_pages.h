#pragma once

namespace keel::keeld {

// Lets go of what starting has left mapped: code and constants of this program and its libraries, most of which nothing
// asks for again (linking, reading flags, opening the state). Those that are in use come back from the page cache, 64
// KiB at a time, within a few hundred faults of a microsecond. To be called once, when the member is ready; does
// nothing where the system does not say what is mapped.
void ReleaseStartupPages();

}  // namespace keel::keeld
