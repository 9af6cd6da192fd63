//! The mirror's thread gives way: whoever writes and searches here goes first where cores are few.

/// Of ten parts that a call of the host gets of a core, this thread gets one.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Asks for less of a core than other threads of this process. A system that does not know it, or forbids it, changes nothing.
pub(super) fn stand_back() {
    // Elsewhere it would be the whole process that stands back.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_thread_stands_back_and_no_other() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let there = std::thread::spawn(move || {
            stand_back();
            nice()
        });
        assert_eq!((there.join().unwrap(), nice()), (NICE.max(before), before));
    }
}
