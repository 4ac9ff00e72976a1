// What the stub's host knows and refuses. The names of the rules are those of esapi_stub/rules.py. Not part of ESAPI.

using System;
using System.Runtime.CompilerServices;
using VMS.TPS.Common.Model.Types;

[assembly: InternalsVisibleTo("headless")]

namespace VMS.TPS.Common.Model.API
{
    /// <summary>One opened patient: the unit that the system is set to, and whether changes are allowed.</summary>
    internal sealed class Host
    {
        internal readonly DoseValue.DoseUnit Unit;
        internal bool Modifiable;

        /// <summary>Whether the script has the licence and the approval that writing needs.</summary>
        internal bool Writable = true;

        internal Host(DoseValue.DoseUnit unit)
        {
            Unit = unit;
        }

        internal void RequireModifications()
        {
            if (!Modifiable)
                throw Application("begin-modifications", "BeginModifications comes before any change");
        }

        internal void RequireUnit(DoseValue dose)
        {
            if (dose.Unit != Unit)
                throw Argument("dose-unit", "the system is set to " + Unit + ", got " + dose);
        }

        internal static ArgumentException Argument(string rule, string says)
        {
            return new ArgumentException(says + " (" + rule + ")");
        }

        internal static ApplicationException Application(string rule, string says)
        {
            return new ApplicationException(says + " (" + rule + ")");
        }
    }
}
