using System;
using System.IO;

namespace FdpBridge.Eclipse
{
    /// <summary>The whole hand-over is refused; nothing was changed.</summary>
    public sealed class Refused : Exception
    {
        public Refused(string code, string reason) : base(reason + " [" + code + "]")
        {
            Code = code;
        }

        /// <summary>Stable identifier, as the bridge's own refusals have one.</summary>
        public string Code { get; private set; }
    }

    /// <summary>What a disk or a share raises; C# 5 has no way to catch two kinds at once.</summary>
    internal static class FileTrouble
    {
        internal static bool Is(Exception error)
        {
            return error is IOException || error is UnauthorizedAccessException;
        }
    }
}
