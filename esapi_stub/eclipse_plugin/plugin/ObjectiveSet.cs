using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

namespace FdpBridge.Eclipse
{
    /// <summary>The fall-off outside the targets; without numbers the planning system chooses it.</summary>
    public sealed class NormalTissue
    {
        public readonly double Priority;
        public readonly double? DistanceMm;
        public readonly double StartPercent;
        public readonly double EndPercent;
        public readonly double FallOffPerMm;

        public NormalTissue(Json json)
        {
            Priority = json["priority"].Value;
            DistanceMm = json["distance_mm"].ValueOrNull;
            if (DistanceMm == null)
                return;
            StartPercent = json["start_dose_percent"].Value;
            EndPercent = json["end_dose_percent"].Value;
            FallOffPerMm = json["fall_off_per_mm"].Value;
        }
    }

    /// <summary>The bridge's objectives for one case, read from its JSON and held against its hash.</summary>
    public sealed class ObjectiveSet
    {
        private const string Version = "1.1";
        private const int LargestBytes = 20000000;

        public readonly string Sha256;
        public readonly string Notice;
        public readonly string StructureSetUid;
        public readonly string FrameOfReferenceUid;
        public readonly string DoseSource;
        public readonly string Model;
        public readonly string Software;
        public readonly string Created;
        public readonly int? Fractions;
        public readonly double HighestGy;
        public readonly IList<Objective> Objectives;
        public readonly NormalTissue NormalTissue;
        public readonly IList<DerivedStructure> DerivedStructures;
        public readonly IList<string> Warnings;
        public readonly IList<string> Notes;

        /// <summary>What a plan must have as it was: the structures of objectives, and what derived ones are made of.</summary>
        public readonly IList<StructureVolume> NeededStructures;

        /// <summary>Id here of every structure whose name is too long for it, by name.</summary>
        public readonly IDictionary<string, string> ShortIds;

        /// <summary>Who approved; null where nobody did.</summary>
        public readonly Approval Approval;

        private ObjectiveSet(Json json)
        {
            Sha256 = json["sha256"].Text;
            Notice = json["notice"].Text;
            StructureSetUid = json["case"]["structure_set_uid"].Text;
            FrameOfReferenceUid = json["case"]["frame_of_reference_uid"].Text;
            DoseSource = json["dose_source"].Text;
            Software = json["provenance"]["software_version"].Text;
            Model = json["provenance"]["model_id"].Text;
            Created = json["provenance"]["created_utc"].Text;
            Fractions = json["prescription"]["fractions"].WholeOrNull;
            HighestGy = json["prescription"]["levels"].Items.Max(level => level["dose_gy"].Value);
            Objectives = json["objectives"].Items.Select((item, position) => new Objective(position, item)).ToList();
            NormalTissue = json["normal_tissue"].IsNull ? null : new NormalTissue(json["normal_tissue"]);
            DerivedStructures = json["derived_structures"].Items.Select(item => new DerivedStructure(item)).ToList();
            ILookup<bool, string> found = json["findings"].Items.ToLookup(
                item => item["severity"].Text == "warning", item => item["message"].Text);
            Warnings = found[true].ToList();
            Notes = found[false].ToList();
            NeededStructures = json["structure_volumes"].Items.Select(item => new StructureVolume(item)).Where(IsNeeded).ToList();
            RequireVolumes();
            ShortIds = json["structure_ids"].Members.ToDictionary(member => member.Key, member => member.Value.Text);
            Approval = json.Members.ContainsKey("approval") ? new Approval(json["approval"]) : null;
        }

        private bool IsNeeded(StructureVolume drawn)
        {
            return Objectives.Any(objective => objective.RoiNumber == drawn.RoiNumber)
                || DerivedStructures.Any(recipe => recipe.Sources.Contains(drawn.RoiName));
        }

        /// <summary>Without its volume nothing says whether a structure was drawn anew.</summary>
        private void RequireVolumes()
        {
            foreach (Objective objective in Objectives.Where(o => o.RoiNumber != null))
                if (!NeededStructures.Any(s => s.RoiNumber == objective.RoiNumber && s.RoiName == objective.RoiName))
                    throw new FormatException("no volume of " + objective.RoiName);
            foreach (string source in DerivedStructures.SelectMany(recipe => recipe.Sources))
                if (DerivedStructures.All(recipe => recipe.Name != source) && NeededStructures.All(s => s.RoiName != source))
                    throw new FormatException("no volume of " + source);
        }

        /// <summary>The id that a structure is expected to have: its name, or what stands for a name too long.</summary>
        public string IdOf(string name)
        {
            return ShortIds.ContainsKey(name) ? ShortIds[name] : name;
        }

        /// <summary>Whether a structure of this id is the one of that name; some versions may take long ids.</summary>
        public bool IsId(string id, string name)
        {
            return id == name || id == IdOf(name);
        }

        /// <summary>Reads a file's text; throws IOException or UnauthorizedAccessException where it cannot.</summary>
        public static Json ReadFile(string path)
        {
            if (new FileInfo(path).Length > LargestBytes)
                throw new Refused("objectives-json", "An objective set has at most 20 MB.");
            try
            {
                return JsonReader.Read(JsonWriter.Utf8.GetString(File.ReadAllBytes(path)));
            }
            catch (Exception error)
            {
                if (error is FormatException || error is DecoderFallbackException)
                    throw NotObjectives(error);
                throw;
            }
        }

        /// <summary>Makes an objective set of a document, if its content is what its hash was made of.</summary>
        public static ObjectiveSet Of(Json json)
        {
            try
            {
                if (json["version"].Text != Version)
                    throw new Refused("objectives-version", "Only objectives of version " + Version + " are understood.");
                string hash = HashOf(json);
                if (hash != json["sha256"].Text)
                    throw new Refused(
                        "objectives-changed", "The objectives were changed after the bridge wrote them: their hash is "
                        + hash + ", the file says " + json["sha256"].Text + ". Approve and hand them over again.");
                var objectives = new ObjectiveSet(json);
                if (objectives.Approval != null && objectives.Approval.ObjectivesSha256 != hash)
                    throw new Refused(
                        "approval-of-other-objectives", "The approval is for the objectives "
                        + objectives.Approval.ObjectivesSha256 + ", these are " + hash + ". Look at these, and approve them.");
                return objectives;
            }
            catch (Exception error)
            {
                if (error is FormatException || error is EncoderFallbackException || error is InvalidOperationException)
                    throw NotObjectives(error);
                throw;
            }
        }

        /// <summary>SHA-256 (hex) of the canonical JSON of everything but the hash itself and the approval of it.</summary>
        private static string HashOf(Json json)
        {
            var content = new Dictionary<string, Json>(json.Members);
            content.Remove("sha256");
            content.Remove("approval");
            byte[] bytes = JsonWriter.Utf8.GetBytes(JsonWriter.Canonical(Json.Of(content)));
            using (var sha = new SHA256CryptoServiceProvider())
                return BitConverter.ToString(sha.ComputeHash(bytes)).Replace("-", string.Empty).ToLowerInvariant();
        }

        private static Refused NotObjectives(Exception error)
        {
            return new Refused("objectives-json", "This is not the JSON of an objective set: " + error.Message + ".");
        }
    }
}
