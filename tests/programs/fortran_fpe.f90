! SPDX-License-Identifier: GPL-2.0-only
! A Fortran program whose run-time reports the SIGFPE of a division of integers, with a backtrace.
! One of reals (-ffpe-trap) does not trap in QEMU 7.2: it raises #MF at few instructions, #XF at none.
program fortran_fpe
  use, intrinsic :: iso_fortran_env, only: output_unit
  implicit none
  real(kind=10), volatile :: zero = 0
  integer, volatile :: none = 0
  character(len=16) :: word = ''
  call get_command_argument(1, word)
  write (output_unit, '(a, f8.3)') 'square root: ', sqrt(2.0d0)
  flush (output_unit)
  if (word == 'integer') then
    write (output_unit, '(a, i8)') 'quotient: ', 42 / none
  else
    write (output_unit, '(a, f8.3)') 'quotient: ', 1 / zero
  end if
end program
