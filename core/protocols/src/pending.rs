//! Requests that wait for their response.

use std::collections::VecDeque;

/// Requests of one flow that wait for a response, found by the protocol's own pairing key
/// (transaction id, invoke id, …). Bounded: the oldest is handed back when full.
#[derive(Debug)]
pub struct Pending<K, T> {
    waiting: VecDeque<(K, T)>,
    capacity: usize,
}

impl<K: PartialEq, T> Pending<K, T> {
    /// Room for `capacity` requests.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::new(), capacity }
    }

    /// Remembers `request` under `key`; returns the oldest request when there was no room: it
    /// counts as unseen. A second request with an equal key waits behind the first.
    #[must_use = "an evicted request must be reported as unseen"]
    pub fn insert(&mut self, key: K, request: T) -> Option<T> {
        let evicted =
            if self.waiting.len() >= self.capacity { self.waiting.pop_front() } else { None };
        if self.waiting.capacity() == 0 {
            // Most flows ask one thing at a time.
            self.waiting.reserve_exact(1);
        }
        self.waiting.push_back((key, request));
        evicted.map(|(_, request)| request)
    }

    /// Takes out the oldest request with this key.
    #[inline]
    pub fn take(&mut self, key: &K) -> Option<T> {
        if self.waiting.front().is_some_and(|(waiting, _)| waiting == key) {
            return self.waiting.pop_front().map(|(_, request)| request);
        }
        let at = self.waiting.iter().position(|(waiting, _)| waiting == key)?;
        self.waiting.remove(at).map(|(_, request)| request)
    }

    /// The oldest request with this key, left in place (multi-part responses).
    pub fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        self.waiting.iter_mut().find(|(waiting, _)| waiting == key).map(|(_, request)| request)
    }

    /// Takes out all requests, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.waiting.drain(..).map(|(_, request)| request)
    }

    /// Number of requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_key_oldest_first_and_evicts_the_oldest() {
        let mut pending = Pending::new(2);
        assert_eq!(None, pending.insert(7, "first"));
        assert_eq!(None, pending.insert(7, "second"));
        assert_eq!(Some("first"), pending.insert(8, "third"));
        assert_eq!(Some("second"), pending.take(&7));
        assert_eq!(None, pending.take(&7));
        assert_eq!(vec!["third"], pending.drain().collect::<Vec<_>>());
    }
}
