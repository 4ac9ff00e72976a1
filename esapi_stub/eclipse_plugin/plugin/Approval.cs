using System;
using System.Globalization;
using System.Linq;

namespace FdpBridge.Eclipse
{
    /// <summary>The decision of one person that exactly these objectives may go to the planning system.</summary>
    public sealed class Approval
    {
        public readonly string By;

        /// <summary>When, in UTC, as the bridge wrote it.</summary>
        public readonly string At;

        public readonly string ObjectivesSha256;

        public Approval(Json json)
        {
            By = json["approved_by"].Text;
            At = json["approved_utc"].Text;
            ObjectivesSha256 = json["objectives_sha256"].Text;
            if (By.Trim().Length == 0 || By.Any(char.IsControl))
                throw new FormatException("an approval names who approved, on one line");
            DateTimeOffset when;
            if (!DateTimeOffset.TryParse(At, CultureInfo.InvariantCulture, DateTimeStyles.None, out when))
                throw new FormatException("an approval says when");
        }
    }
}
