using System;
using System.Runtime.InteropServices;

namespace FdpBridge.Eclipse
{
    public enum Answer
    {
        Yes,
        No,
        Cancel
    }

    /// <summary>How the plug-in talks to the planner.</summary>
    public interface IDialog
    {
        Answer Ask(string text);

        void Tell(string text);
    }

    /// <summary>Message boxes of Windows, straight from the system: no window library has to be referenced.</summary>
    public sealed class MessageBoxes : IDialog
    {
        private const string Title = "fdp-bridge objectives";
        private const uint YesNoCancel = 0x3;
        private const uint Question = 0x20;
        private const uint Information = 0x40;
        private const uint CancelIsDefault = 0x200;
        private const uint InFront = 0x2000 | 0x10000; // task modal, set foreground
        private const int Yes = 6;
        private const int No = 7;

        public Answer Ask(string text)
        {
            int answer = MessageBoxW(IntPtr.Zero, text, Title, YesNoCancel | Question | CancelIsDefault | InFront);
            return answer == Yes ? Answer.Yes : answer == No ? Answer.No : Answer.Cancel;
        }

        public void Tell(string text)
        {
            MessageBoxW(IntPtr.Zero, text, Title, Information | InFront);
        }

        [DllImport("user32.dll", CharSet = CharSet.Unicode)]
        private static extern int MessageBoxW(IntPtr owner, string text, string title, uint type);
    }
}
