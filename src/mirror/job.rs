//! Whose turn it is. Pure: facts in, a job or a time to wait out.

/// Everything that the mirror does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// See who answers.
    Greet,
    /// Compare or fill a collection.
    Verify,
    Push,
    Feed,
    /// Fetch damaged rows.
    Refetch,
    /// Compare everything again.
    Audit,
    /// Remove what nobody needs any more.
    Collect,
}

/// What is to be done, and when what comes later is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    pub(super) now_ms: u64,
    pub(super) is_blocked: bool,
    pub(super) is_connected: bool,
    /// The breaker is open until then.
    pub(super) retry_ms: u64,
    /// Who answers is to be looked at again.
    pub(super) greet_ms: u64,
    pub(super) has_outgoing: bool,
    pub(super) was_push: bool,
    pub(super) feed_ms: u64,
    pub(super) is_unverified: bool,
    pub(super) has_lost: bool,
    /// Nothing for never.
    pub(super) audit_ms: Option<u64>,
    pub(super) collect_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Do(Job),
    /// Nothing is due for so long; a commit may come before.
    Wait(u64),
    /// Only somebody's word goes on.
    WaitForWord,
}

pub(super) fn next(plan: &Plan) -> Turn {
    let now = plan.now_ms;
    if plan.is_blocked {
        return Turn::WaitForWord;
    }
    if now < plan.retry_ms {
        return Turn::Wait(plan.retry_ms - now);
    }
    if !plan.is_connected || plan.greet_ms <= now {
        return Turn::Do(Job::Greet);
    }
    let is_fed = plan.feed_ms > now;
    // Neither starves the other.
    if plan.has_outgoing && (is_fed || !plan.was_push) {
        return Turn::Do(Job::Push);
    }
    if !is_fed {
        return Turn::Do(Job::Feed);
    }
    if plan.is_unverified {
        return Turn::Do(Job::Verify);
    }
    if plan.has_lost {
        return Turn::Do(Job::Refetch);
    }
    if plan.audit_ms.is_some_and(|at| at <= now) {
        return Turn::Do(Job::Audit);
    }
    if plan.collect_ms <= now {
        return Turn::Do(Job::Collect);
    }
    let first = plan.feed_ms.min(plan.greet_ms).min(plan.collect_ms).min(plan.audit_ms.unwrap_or(u64::MAX));
    Turn::Wait(first - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_from_the_plan() {
        let idle = Plan {
            now_ms: 1_000,
            is_connected: true,
            greet_ms: 9_000,
            feed_ms: 1_300,
            audit_ms: Some(5_000),
            collect_ms: 7_000,
            ..Plan::default()
        };
        let table = [
            (idle, Turn::Wait(300)),
            (Plan { is_blocked: true, has_outgoing: true, ..idle }, Turn::WaitForWord),
            (Plan { is_connected: false, ..idle }, Turn::Do(Job::Greet)),
            (Plan { is_connected: false, retry_ms: 1_250, ..idle }, Turn::Wait(250)),
            (Plan { greet_ms: 1_000, ..idle }, Turn::Do(Job::Greet)),
            (Plan { has_outgoing: true, was_push: true, ..idle }, Turn::Do(Job::Push)),
            (Plan { has_outgoing: true, feed_ms: 0, ..idle }, Turn::Do(Job::Push)),
            (Plan { has_outgoing: true, was_push: true, feed_ms: 0, ..idle }, Turn::Do(Job::Feed)),
            (Plan { feed_ms: 1_000, is_unverified: true, ..idle }, Turn::Do(Job::Feed)),
            (Plan { is_unverified: true, has_lost: true, ..idle }, Turn::Do(Job::Verify)),
            (Plan { has_lost: true, audit_ms: Some(0), ..idle }, Turn::Do(Job::Refetch)),
            (Plan { audit_ms: Some(0), collect_ms: 0, ..idle }, Turn::Do(Job::Audit)),
            (Plan { audit_ms: None, collect_ms: 0, ..idle }, Turn::Do(Job::Collect)),
            (Plan { audit_ms: None, feed_ms: 60_000, ..idle }, Turn::Wait(6_000)),
        ];
        for (plan, turn) in table {
            assert_eq!(next(&plan), turn, "{plan:?}");
        }
    }
}
