#pragma once
// Whether the kernel could encrypt for us. Nothing uses it; the log says it at the start.

namespace ringside {

// A connected TCP socket takes the "tls" protocol here (tcp.ulp, Linux 4.13 and its module). Tries it on a loopback pair.
bool kernel_has_tls();

}  // namespace ringside
