// What the process's exit status means. Stable: scripts and supervisors test for these numbers.
//
// 0 and 1 are the reference's; from 64 on the numbers lie where sysexits.h has its own, without its meanings beyond
// "usage" and "internal", and below the 128 + signal of a killed process.
#pragma once

namespace codeq::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitConfig = 1;  // the settings are wrong, or something failed that has no number of its own
inline constexpr int kExitUsage = 2;  // the command line is wrong
inline constexpr int kExitUnsupported = 69;  // a command of the reference that has no meaning here; it says what to do instead
inline constexpr int kExitInternal = 70;  // a broken invariant of ours; a bug
inline constexpr int kExitIo = 74;  // reading or writing the log or the store failed (EIO)
inline constexpr int kExitDiskFull = 75;  // no room for the log or the store (ENOSPC); start again once there is
inline constexpr int kExitCorrupt = 76;  // the data folder is damaged, or not ours; nothing was changed in it
inline constexpr int kExitBind = 77;  // the address cannot be listened on
inline constexpr int kExitInUse = 78;  // another process holds the data folder

}  // namespace codeq::app
