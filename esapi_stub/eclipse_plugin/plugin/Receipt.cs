using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Reflection;
using System.Text.RegularExpressions;

namespace FdpBridge.Eclipse
{
    /// <summary>What became of one thing that was asked for.</summary>
    public sealed class Outcome
    {
        private const int LongestStructure = 64;
        private const int LongestWhat = 200;
        private const int LongestReason = 1000;

        private readonly int? position;
        private readonly string structure;
        private readonly string what;
        private readonly string reason;

        public Outcome(int? position, string structure, string what, string reason)
        {
            this.position = position;
            this.structure = structure;
            this.what = what;
            this.reason = reason;
        }

        public string Structure
        {
            get { return structure; }
        }

        public string Words
        {
            get { return structure + ": " + what + (reason.Length == 0 ? string.Empty : ": " + reason); }
        }

        public Outcome Because(string why)
        {
            return new Outcome(position, structure, what, why);
        }

        public Json ToJson()
        {
            return Json.Of(new Dictionary<string, Json>
            {
                { "objective", Json.Of(position) },
                { "structure", Json.Of(Receipt.Cut(structure, LongestStructure)) },
                { "what", Json.Of(Receipt.Cut(what, LongestWhat)) },
                { "reason", Json.Of(Receipt.Cut(reason, LongestReason)) }
            });
        }
    }

    /// <summary>The answer to a hand-over, in the form that the bridge reads.</summary>
    public sealed class Receipt
    {
        private const string Version = "1.0";
        private const int LongestReason = 1000;

        public readonly List<string> Made = new List<string>();
        public readonly List<Outcome> Added = new List<Outcome>();
        public readonly List<Outcome> Refused = new List<Outcome>();
        public readonly List<string> Notes = new List<string>();

        private readonly Dictionary<string, string> shortIds = new Dictionary<string, string>();
        private readonly string objectivesSha256;
        private readonly string planUid;
        private readonly string reason;

        private Receipt(string objectivesSha256, string planUid, string reason)
        {
            this.objectivesSha256 = objectivesSha256;
            this.planUid = planUid;
            this.reason = reason;
        }

        public bool IsRefusal
        {
            get { return reason.Length > 0; }
        }

        /// <summary>For a plan that gets objectives; what became of them is added as it happens.</summary>
        public static Receipt Applied(ObjectiveSet objectives, string planUid)
        {
            var receipt = new Receipt(objectives.Sha256, planUid, string.Empty);
            foreach (KeyValuePair<string, string> pair in objectives.ShortIds)
                receipt.shortIds.Add(pair.Key, pair.Value);
            return receipt;
        }

        /// <summary>For a hand-over that changed nothing.</summary>
        public static Receipt OfRefusal(string objectivesSha256, string planUid, Refused refused)
        {
            return new Receipt(objectivesSha256, planUid, refused.Message);
        }

        public Json ToJson()
        {
            bool isUid = Regex.IsMatch(planUid, @"\A[0-9.]{1,64}\z");
            return Json.Of(new Dictionary<string, Json>
            {
                { "version", Json.Of(Version) },
                { "objectives_sha256", Json.Of(objectivesSha256) },
                { "state", Json.Of(IsRefusal ? "refused" : "applied") },
                { "reason", Json.Of(Cut(reason, LongestReason)) },
                { "taken_by", Json.Of("eclipse plug-in " + Assembly.GetExecutingAssembly().GetName().Version.ToString(3)) },
                { "plan_uid", isUid ? Json.Of(planUid) : Json.Null() },
                { "created_utc", Json.Of(DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ", CultureInfo.InvariantCulture)) },
                { "made", Json.Of(Made.Select(Json.Of)) },
                { "added", Json.Of(Added.Select(outcome => outcome.ToJson())) },
                { "refused", Json.Of(Refused.Select(outcome => outcome.ToJson())) },
                { "notes", Json.Of(Notes.Select(Json.Of)) },
                { "short_ids", Json.Of(shortIds.ToDictionary(pair => pair.Key, pair => Json.Of(pair.Value))) }
            });
        }

        /// <summary>At most so many characters, never half of one that takes two in UTF-16.</summary>
        internal static string Cut(string text, int longest)
        {
            if (text.Length <= longest)
                return text;
            return text.Substring(0, char.IsHighSurrogate(text[longest - 1]) ? longest - 1 : longest);
        }
    }
}
