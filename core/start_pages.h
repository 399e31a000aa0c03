#pragma once
// The program's own pages.

namespace ringside {

// Lets go of the pages of code and constants that are in memory: most were needed to start, and never again. Those that are needed
// come back from the page cache, a few microseconds each. Once, when the start is over. A debugger must set its breakpoints in code anew.
void drop_start_pages();

}  // namespace ringside
