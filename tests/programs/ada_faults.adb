--  SPDX-License-Identifier: GPL-2.0-only
--  An Ada program whose run-time makes exceptions of signals: SIGFPE of a division, SIGSEGV of a
--  null access and of a stack that is used up, each handled where Ada says.
with Ada.Exceptions; use Ada.Exceptions;
with Ada.Text_IO; use Ada.Text_IO;
with Ada.Command_Line;
with System.Storage_Elements; use System.Storage_Elements;
with System;

procedure Ada_Faults is
   type Number is new Integer;
   --  Checks are left to the processor.
   pragma Suppress (All_Checks);
   type Pointer is access all Number;
   Zero : Number := 0;
   pragma Volatile (Zero);
   Nowhere : Pointer := null;
   pragma Volatile (Nowhere);

   procedure Divide is
   begin
      Put_Line ("divide: returned" & Number'Image (42 / Zero));
   exception
      when Constraint_Error => Put_Line ("divide: Constraint_Error");
      when E : others => Put_Line ("divide: " & Exception_Name (E));
   end Divide;

   procedure Read_Null is
   begin
      Put_Line ("null: returned" & Number'Image (Nowhere.all));
   exception
      when E : others => Put_Line ("null: " & Exception_Name (E));
   end Read_Null;

   task type Worker;
   task body Worker is
   begin
      Put_Line ("task: returned" & Number'Image (7 / Zero));
   exception
      when E : others => Put_Line ("task: " & Exception_Name (E));
   end Worker;

begin
   if Ada.Command_Line.Argument_Count > 0 then
      --  Nobody handles it: the run-time's own words, and exit status 1.
      Put_Line ("unhandled:" & Number'Image (42 / Zero));
   end if;
   for I in 1 .. 3 loop
      Divide;
      Read_Null;
   end loop;
   declare
      One : Worker;
   begin
      null;
   end;
   delay 0.01;
   Put_Line ("done");
end Ada_Faults;
