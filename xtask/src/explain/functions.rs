// SPDX-License-Identifier: GPL-2.0-only
//! What the functions on an exception's path are for, in our words and in the fifth document's.

/// Functions that are stages: what happens there, and what the document says. Where several walks come by,
/// it is the same for all.
pub(super) const FUNCTIONS: [(&str, &str, &str); 44] = [
    (
        "error_entry",
        "All of pt_regs has been pushed. Who was interrupted? CS says, and then whether to swapgs.",
        "idtentry saves the general purpose registers, then checks the selector in CS: from user space or from kernel space",
    ),
    (
        "paranoid_entry",
        "CS is not to be trusted here: the sign of MSR_GS_BASE says whose GS base it is.",
        "paranoid: the GS base itself is looked at",
    ),
    (
        "sync_regs",
        "From user mode: pt_regs moves from the IST's stack to the thread's.",
        "from user space the handler runs on the thread's stack",
    ),
    (
        "do_error_trap",
        "What the handlers of DO_ERROR have in common.",
        "DO_ERROR's functions only call do_error_trap",
    ),
    ("do_page_fault", "CR2 is read before another fault can change it.", ""),
    (
        "exception_enter",
        "Is context tracking on, and if so: where was the CPU? The answer is prev_state.",
        "exception_enter: reads the previous context, and compares it with CONTEXT_KERNEL",
    ),
    (
        "context_tracking_exit",
        "It was in user mode: time is charged, and from now on it is in the kernel.",
        "context_tracking_exit: the processor leaves user mode and enters the kernel",
    ),
    (
        "notify_die",
        "The die chain is asked; NOTIFY_STOP would end it here.",
        "notify_die fills die_args, and calls atomic_notifier_call_chain of the die_chain",
    ),
    (
        "conditional_sti",
        "Interrupts are let in, if they were before.",
        "conditional_sti: by the IF of the interrupted flags",
    ),
    ("do_invalid_op", "In the kernel it would be a BUG or a WARN; from user mode it is like the others.", ""),
    ("do_trap", "From kernel mode or from user mode?", "do_trap calls do_trap_no_signal"),
    (
        "do_trap_no_signal",
        "From kernel mode the exception table decides, and otherwise nothing is done yet.",
        "do_trap_no_signal: not user mode: fixup_exception, else die; user mode: -1, and do_trap goes on",
    ),
    (
        "set_trap",
        "thread.error_code and thread.trap_nr, for the signal's frame.",
        "tsk->thread.error_code, tsk->thread.trap_nr",
    ),
    ("decide", "Which signal, with which code? A pure function says.", "fill_trap_info"),
    (
        "show_signal",
        "Does somebody handle the signal? If not, a line in the log.",
        "show_unhandled_signals, unhandled_signal, printk_ratelimit",
    ),
    (
        "force_sig_fault",
        "The signal is sent: it cannot be blocked or ignored.",
        "force_sig_info sends the signal to the interrupted process",
    ),
    (
        "force_sig",
        "The signal is sent: it cannot be blocked or ignored.",
        "force_sig_info with SEND_SIG_PRIV",
    ),
    (
        "force_sig_info",
        "The signal is sent: it cannot be blocked or ignored.",
        "force_sig_info sends the signal to the interrupted process",
    ),
    ("fixup_umip_exception", "Is it an instruction that is emulated where the CPU forbids it?", ""),
    ("debug_user", "DR6 has said why, and is 0 again.", ""),
    (
        "math_emulate",
        "CR0.EM is set: the x87 instruction is done by the kernel.",
        "CONFIG_MATH_EMULATION: fill math_emu_info, call math_emulate, exception_exit, and back",
    ),
    ("exc_page_fault", "With the address, which nothing can change any more.", ""),
    ("do_user_addr_fault", "What kind of fault? First what the CPU alone can tell.", ""),
    ("ask_mm", "Then what the address space says: is something mapped there?", ""),
    ("act", "It is not to be repaired by a page.", ""),
    (
        "set_signal_archinfo",
        "thread.trap_nr, thread.error_code and thread.cr2, for the signal's frame.",
        "tsk->thread.error_code, tsk->thread.trap_nr",
    ),
    ("bad_area_signal", "User mode's fault: a line in the log if nobody handles it, and the signal.", ""),
    ("kernelmode_fixup_or_oops", "The kernel's fault. Did it expect one?", "fixup_exception, else die"),
    (
        "fixup_exception",
        "RIP is looked up in the exception table, and changed to where that leads.",
        "fixup_exception tries to recover the fault",
    ),
    (
        "exception_exit",
        "In the document: back to the previous context. Here ctx_state stays until the way out is done.",
        "exception_exit: context_tracking_enter if the previous context was user",
    ),
    (
        "error_exit",
        "The handler has come back. Who was interrupted?",
        "idtentry restores the stack and the registers of the interrupted task",
    ),
    ("prepare_exit_to_usermode", "Is there something to be done before user mode runs?", ""),
    ("exit_to_user_mode_loop", "TIF_SIGPENDING: there is.", ""),
    ("arch_do_signal_or_restart", "The pending signal is looked for.", ""),
    ("get_signal", "It is taken from the queue; without a handler it would end here.", ""),
    ("handle_signal", "There is a handler: the program will go on there.", ""),
    ("setup_rt_frame", "ucontext and siginfo go to the program's stack, with the registers of pt_regs.", ""),
    ("user_enter", "The last word before user mode.", ""),
    (
        "context_tracking_enter",
        "Time is charged, and from now on the CPU is in user mode, as far as context tracking knows.",
        "context_tracking_enter: the processor is going to enter user mode",
    ),
    (
        "swapgs_restore_regs_and_return_to_usermode",
        "The registers come back from pt_regs.",
        "idtentry restores the general purpose registers",
    ),
    (
        "native_irq_return_iret",
        "GS is the program's. What is left are the five words that iret takes.",
        "and executes iret",
    ),
    (
        "restore_regs_and_return_to_kernel",
        "Back to the kernel: GS stays.",
        "idtentry restores the general purpose registers, and executes iret",
    ),
    ("paranoid_exit", "Was there a swapgs on the way in?", ""),
    ("copy_fpstate_to_sigframe", "The FPU's registers go to the frame.", ""),
];
