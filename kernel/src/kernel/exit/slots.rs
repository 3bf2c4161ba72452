// SPDX-License-Identifier: GPL-2.0-only
//! A list in the order in which things came to it, out of which one is taken without a look at the
//! others, as of Linux's linked lists: whoever is on it knows its place.

use crate::mm::page_alloc::with_reserve;
use crate::mm::util::push_reserved;
use alloc::vec::Vec;

/// Fewer places than this are never moved.
const FEW: usize = 32;

/// The list. A place stays one's own until [`Slots::close_ranks`] moves it.
pub(super) struct Slots<T> {
    places: Vec<Option<T>>,
    /// Nobody is in a place below this.
    first: usize,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { places: Vec::new(), first: 0, len: 0 }
    }
}

impl<T> Slots<T> {
    /// Adds at the end, and returns the place.
    #[inline]
    pub(super) fn push(&mut self, x: T) -> usize {
        push_reserved(&mut self.places, Some(x));
        self.len += 1;
        self.places.len() - 1
    }
    /// What is in a place.
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }
    /// Takes what is in a place.
    #[inline]
    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let x = self.places.get_mut(place)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.places.clear();
            self.first = 0;
        } else if place == self.first {
            self.first = self.next(place).map_or(0, |(next, _)| next);
        }
        Some(x)
    }
    /// The first at or behind a place.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<(usize, &T)> {
        let from = from.max(self.first);
        let n = self.places.get(from..)?.iter().position(Option::is_some)?;
        Some((from + n, self.places[from + n].as_ref()?))
    }
    /// Whether so many places are empty that the others should move up.
    #[inline]
    pub(super) fn is_sparse(&self) -> bool {
        self.places.len() >= FEW && self.len < self.places.len() / 4
    }
    /// Moves all up to the front; `moved` hears of each new place.
    pub(super) fn close_ranks(&mut self, mut moved: impl FnMut(&T, usize)) {
        self.places.retain(Option::is_some);
        with_reserve(|| self.places.shrink_to(FEW));
        self.first = 0;
        self.places.iter().flatten().enumerate().for_each(|(place, x)| moved(x, place));
    }
    /// Whether nobody is on it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(s: &Slots<u32>) -> Vec<u32> {
        let mut seen = Vec::new();
        let mut from = 0;
        while let Some((place, &x)) = s.next(from) {
            seen.push(x);
            from = place + 1;
        }
        assert_eq!(seen, s.iter().copied().collect::<Vec<_>>());
        seen
    }

    #[test]
    fn one_is_taken_out_and_the_order_stays() {
        let mut s = Slots::default();
        let places: Vec<usize> = (0..5).map(|x| s.push(x)).collect();
        assert_eq!((s.remove(places[2]), s.remove(places[0])), (Some(2), Some(0)));
        assert_eq!(all(&s), [1, 3, 4]);
        assert_eq!(s.remove(places[2]), None, "nobody is there any more");
        let last = s.push(9);
        assert_eq!(all(&s), [1, 3, 4, 9]);
        for place in [places[1], places[4], last, places[3]] {
            assert!(s.remove(place).is_some());
        }
        assert!(s.is_empty() && s.next(0).is_none());
        assert_eq!(s.push(7), 0, "all places are free again");
    }

    #[test]
    fn many_empty_places_are_given_up() {
        let mut s = Slots::default();
        let mut place: Vec<usize> = (0..100).map(|x| s.push(x)).collect();
        // The first stays, so that the empty places are behind it.
        for x in 1..100 {
            assert!(s.remove(place[x as usize]) == Some(x));
            if s.is_sparse() {
                s.close_ranks(|&x, at| place[x as usize] = at);
                assert_eq!(all(&s), [0].into_iter().chain(x + 1..100).collect::<Vec<_>>());
            }
        }
        assert!(s.places.len() < FEW && s.remove(place[0]) == Some(0));
    }

    #[test]
    fn the_first_is_found_at_once_when_they_go_in_order() {
        let mut s = Slots::default();
        let places: Vec<usize> = (0..20).map(|x| s.push(x)).collect();
        for (x, &place) in (0..20).zip(&places) {
            assert_eq!(s.next(0).map(|(p, &x)| (p, x)), Some((place, x)));
            assert_eq!(s.first, place);
            s.remove(place);
        }
    }
}
