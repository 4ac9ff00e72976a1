// What the stub's host knows and refuses. The names of the rules are those of esapi_stub/rules.py. Not part of ESAPI.

using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using VMS.TPS.Common.Model.Types;

[assembly: InternalsVisibleTo("headless")]

namespace VMS.TPS.Common.Model.API
{
    /// <summary>One opened patient: the unit that the system is set to, and whether changes are allowed.</summary>
    internal sealed class Host
    {
        internal readonly DoseValue.DoseUnit Unit;
        internal readonly List<PlanSetup> Plans = new List<PlanSetup>();
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

        internal void RequireUnlocked(Structure structure)
        {
            PlanSetup locking = Plans.FirstOrDefault(p => p.IsDoseValid && p.StructureSet.Structures.Contains(structure));
            if (locking != null)
                throw Application("structure-locked", "plan " + locking.Id + " has a dose on the structure set");
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
