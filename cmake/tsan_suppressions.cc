// Debian's RocksDB is not built for ThreadSanitizer: its atomics and reference counts are invisible, so that memory which it hands
// from thread to thread looks raced for. Reports with a RocksDB frame say nothing; those of our own code stay.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:rocksdb::\n"; }
