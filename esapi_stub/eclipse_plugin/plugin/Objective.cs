using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace FdpBridge.Eclipse
{
    /// <summary>One thing that ESAPI can be asked for: a point, a mean dose, or a gEUD. Total dose in Gy.</summary>
    public sealed class Term
    {
        public readonly string Kind;
        public readonly bool Upper;
        public readonly double DoseGy;

        /// <summary>Volume in % of a point, exponent a of a gEUD.</summary>
        public readonly double Number;

        public readonly double Priority;

        public Term(string kind, bool upper, double doseGy, double number, double priority)
        {
            Kind = kind;
            Upper = upper;
            DoseGy = doseGy;
            Number = number;
            Priority = priority;
        }
    }

    /// <summary>One objective of the bridge.</summary>
    public sealed class Objective
    {
        /// <summary>Where a line is sampled, in % of the volume: ESAPI has no call that adds a line.</summary>
        private static readonly double[] LineVolumesPercent = { 0, 5, 20, 40, 60, 80, 95 };

        public readonly int Position;
        public readonly int? RoiNumber;
        public readonly string RoiName;
        public readonly double Priority;

        /// <summary>What it asks in words.</summary>
        public readonly string Words;

        /// <summary>What ESAPI is asked for; nothing for a line that is at 0 Gy wherever it is sampled.</summary>
        public readonly IList<Term> Terms;

        public Objective(int position, Json json)
        {
            Position = position;
            RoiNumber = json["roi_number"].WholeOrNull;
            RoiName = json["roi_name"].Text;
            Priority = json["priority"].Value;
            string kind = json["kind"].Text;
            bool upper = kind == "mean" || IsUpper(json["operator"].Text);
            string operatorName = upper ? "upper" : "lower";
            if (kind == "point")
            {
                double dose = json["dose_gy"].Value, volume = json["volume_percent"].Value;
                Terms = new[] { new Term(kind, upper, dose, volume, Priority) };
                Words = operatorName + " " + Format(dose) + " Gy at " + Format(volume) + " %";
            }
            else if (kind == "mean")
            {
                double dose = json["dose_gy"].Value;
                Terms = new[] { new Term(kind, upper, dose, 0, Priority) };
                Words = "mean at most " + Format(dose) + " Gy";
            }
            else if (kind == "geud")
            {
                double dose = json["dose_gy"].Value, a = json["a"].Value;
                Terms = new[] { new Term(kind, upper, dose, a, Priority) };
                Words = "gEUD (a = " + Format(a) + ") " + operatorName + " " + Format(dose) + " Gy";
            }
            else if (kind == "line")
            {
                Terms = Sampled(json["curve"].Items, upper);
                Words = operatorName + " line of " + json["curve"].Items.Count + " points, sampled";
            }
            else
            {
                throw new FormatException("there is no objective of kind \"" + kind + "\"");
            }
        }

        /// <summary>A number for a person: six digits, a decimal point everywhere.</summary>
        public static string Format(double number)
        {
            return number.ToString("G6", CultureInfo.InvariantCulture);
        }

        private static bool IsUpper(string name)
        {
            if (name != "upper" && name != "lower")
                throw new FormatException("there is no operator \"" + name + "\"");
            return name == "upper";
        }

        /// <summary>Points on a curve that share its priority evenly; a point at 0 Gy cannot be asked for.</summary>
        private IList<Term> Sampled(IEnumerable<Json> curve, bool upper)
        {
            var points = curve.OrderBy(point => point["volume_percent"].Value).ToList();
            double[] volumes = points.Select(point => point["volume_percent"].Value).ToArray();
            double[] doses = points.Select(point => point["dose_gy"].Value).ToArray();
            var asked = LineVolumesPercent
                .Select(volume => new { Volume = volume, Dose = DoseAt(volume, volumes, doses) })
                .Where(point => point.Dose > 0)
                .ToList();
            return asked.Select(p => new Term("point", upper, p.Dose, p.Volume, Priority / asked.Count)).ToList();
        }

        /// <summary>Linear between points; outside them, the curve's end.</summary>
        private static double DoseAt(double volume, double[] volumes, double[] doses)
        {
            int above = Array.FindIndex(volumes, v => v >= volume);
            if (above <= 0)
                return above < 0 ? doses[doses.Length - 1] : doses[0];
            double part = (volume - volumes[above - 1]) / (volumes[above] - volumes[above - 1]);
            return doses[above - 1] + part * (doses[above] - doses[above - 1]);
        }
    }
}
