// How keeld wants jemalloc to work; it reads this name before main() (jemalloc(3), "TUNING"), and what MALLOC_CONF says
// goes before it. With another allocator it means nothing.
//
// Arenas per processor, not four times as many: what a burst of requests leaves behind is kept once. Pages that are
// free for a second go back to the system; the default of ten keeps those of every burst of the last ten seconds.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "percpu_arena:percpu,dirty_decay_ms:1000,muzzy_decay_ms:0";
}
