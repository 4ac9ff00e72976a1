using System;
using System.Collections.Generic;
using System.Linq;

namespace FdpBridge.Eclipse
{
    /// <summary>How to make a structure that objectives need and the structure set lacks.</summary>
    public sealed class DerivedStructure
    {
        public readonly string Name;
        public readonly IList<string> Of;

        /// <summary>For a subtraction: what is cut away, grown by MarginMm.</summary>
        public readonly IList<string> Minus;

        public readonly double MarginMm;

        /// <summary>For a ring: where it lies, between InnerMm and OuterMm from the union of Of.</summary>
        public readonly string Within;

        public readonly double InnerMm;
        public readonly double OuterMm;

        public DerivedStructure(Json json)
        {
            Name = json["name"].Text;
            Of = json["of"].Items.Select(item => item.Text).ToList();
            Minus = json["minus"].Items.Select(item => item.Text).ToList();
            string operation = json["operation"].Text;
            if (operation == "subtract")
            {
                MarginMm = json["margin_mm"].Value;
            }
            else if (operation == "ring")
            {
                Within = json["within"].Text;
                InnerMm = json["inner_mm"].Value;
                OuterMm = json["outer_mm"].Value;
            }
            else
            {
                throw new FormatException("there is no operation \"" + operation + "\"");
            }
        }

        public bool IsRing
        {
            get { return Within != null; }
        }

        /// <summary>The structures that it is made of.</summary>
        public IEnumerable<string> Sources
        {
            get { return Of.Concat(Minus).Concat(IsRing ? new[] { Within } : new string[0]); }
        }

        public string Words
        {
            get
            {
                if (IsRing)
                    return Name + " = " + Objective.Format(InnerMm) + " to " + Objective.Format(OuterMm) + " mm around "
                        + string.Join(" + ", Of) + " in " + Within;
                string margin = MarginMm > 0 ? " + " + Objective.Format(MarginMm) + " mm" : string.Empty;
                return Name + " = " + Of[0] + " - (" + string.Join(" + ", Minus) + ")" + margin;
            }
        }
    }
}
