// SPDX-License-Identifier: GPL-2.0-only
//! A Rust program with its standard library: threads, files, time, panics that are caught; and
//! with a word, one that overflows the stack of its main thread (`main`) or another's (`thread`).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Recurses until the guard page; what it keeps on the stack it also uses.
#[allow(unconditional_recursion)]
fn deeper(n: u64) -> u64 {
    let here = [n; 64];
    std::hint::black_box(&here);
    deeper(n + 1) + here[n as usize % 64]
}

fn threads() {
    let sum = Arc::new(AtomicU64::new(0));
    let barrier = Arc::new(Barrier::new(8));
    let all: Vec<_> = (0..8)
        .map(|n| {
            let (sum, barrier) = (sum.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                for i in 0..1000 {
                    sum.fetch_add(n * i, Ordering::Relaxed);
                }
                n
            })
        })
        .collect();
    let back: u64 = all.into_iter().map(|t| t.join().unwrap()).sum();
    println!("threads: {} {}", sum.load(Ordering::Relaxed), back);
    let (to, from) = mpsc::channel();
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = pair.clone();
    let sender = std::thread::spawn(move || {
        let mut go = other.0.lock().unwrap();
        while !*go {
            go = other.1.wait(go).unwrap();
        }
        (0..5).for_each(|i| to.send(i).unwrap());
    });
    *pair.0.lock().unwrap() = true;
    pair.1.notify_all();
    println!("channel: {:?}", from.iter().collect::<Vec<i32>>());
    sender.join().unwrap();
    println!("scoped: {}", std::thread::scope(|s| s.spawn(|| 42).join().unwrap()));
}

fn files() -> std::io::Result<()> {
    let dir = std::env::temp_dir().join("rust_std");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("file");
    std::fs::File::create(&path)?.write_all(b"one\ntwo\n")?;
    let mut text = String::new();
    std::fs::File::open(&path)?.read_to_string(&mut text)?;
    let names: Vec<_> = std::fs::read_dir(&dir)?.map(|e| e.unwrap().file_name()).collect();
    println!("files: {:?} {} {:?}", text, std::fs::metadata(&path)?.len(), names);
    std::fs::remove_dir_all(&dir)?;
    println!("files: {:?}", std::fs::read(&path).unwrap_err().kind());
    Ok(())
}

fn time() {
    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    let timeout = mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(1));
    println!("time: {} {timeout:?}", before.elapsed() >= Duration::from_millis(20));
}

fn panics() {
    std::panic::set_hook(Box::new(|info| println!("panic: {}", info.payload().is::<&str>())));
    let caught = std::panic::catch_unwind(|| panic!("caught"));
    println!("caught: {:?}", caught.unwrap_err().downcast_ref::<&str>());
    let joined = std::thread::spawn(|| [1, 2, 3][std::env::args().count() + 5]).join();
    println!("joined: {}", joined.is_err());
}

fn processes() {
    let me = std::env::current_exe().unwrap();
    for (word, env) in [("exit", "7"), ("abort", "")] {
        let child = std::process::Command::new(&me).arg(word).env("CODE", env).output().unwrap();
        println!("child: {word} {:?} {:?}", child.status, String::from_utf8_lossy(&child.stdout));
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("main") => println!("{}", deeper(0)),
        Some("thread") => {
            let named = std::thread::Builder::new().name("worker".into());
            println!("{}", named.spawn(|| deeper(0)).unwrap().join().unwrap());
        }
        Some("exit") => {
            println!("exits");
            std::process::exit(std::env::var("CODE").unwrap().parse().unwrap())
        }
        Some("abort") => std::process::abort(),
        _ => {
            threads();
            files().unwrap();
            time();
            panics();
            processes();
            let map: HashMap<u32, u32> = (0..1000).map(|n| (n, n * n)).collect();
            println!("map: {} {}", map.len(), map[&999]);
        }
    }
}
