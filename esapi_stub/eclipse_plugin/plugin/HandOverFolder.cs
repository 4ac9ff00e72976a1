using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;

namespace FdpBridge.Eclipse
{
    /// <summary>One hand-over in the drop folder: objectives.json from the bridge, receipt.json back to it.</summary>
    public sealed class HandOverFolder
    {
        private const string Prefix = "objectives-";
        private const int HashInName = 16;
        private const string ReceiptFile = "receipt.json";

        /// <summary>For a refusal after objectives were applied: what the plan holds stays said in receipt.json.</summary>
        private const string LaterRefusalFile = "refusal.json";

        private readonly string path;
        private readonly Json json;

        public HandOverFolder(string path)
        {
            this.path = path;
            json = ObjectiveSet.ReadFile(ObjectivesPath);
        }

        private string ObjectivesPath
        {
            get { return Path.Combine(path, "objectives.json"); }
        }

        public string Name
        {
            get { return Path.GetFileName(Path.GetFullPath(path)); }
        }

        /// <summary>
        /// Finds the hand-overs for a structure set, the newest first, by what the files claim; checks come later.
        /// </summary>
        /// <param name="root">The drop folder.</param>
        /// <param name="structureSetUid">The open plan's.</param>
        /// <param name="others">Gets the names of those for other structure sets.</param>
        /// <param name="unreadable">Gets the names of folders that hold no JSON that can be read.</param>
        public static IList<HandOverFolder> For(
            string root, string structureSetUid, ICollection<string> others, ICollection<string> unreadable)
        {
            var found = new List<HandOverFolder>();
            foreach (string path in Directory.GetDirectories(root, Prefix + "*"))
            {
                try
                {
                    var folder = new HandOverFolder(path);
                    if (folder.Claims("case", "structure_set_uid") == structureSetUid)
                        found.Add(folder);
                    else
                        others.Add(folder.Name);
                }
                catch (Exception error)
                {
                    if (!(error is Refused || FileTrouble.Is(error)))
                        throw;
                    unreadable.Add(Path.GetFileName(path));
                }
            }
            return found.OrderByDescending(f => f.Claims("provenance", "created_utc"), StringComparer.Ordinal).ToList();
        }

        /// <summary>Gives the objectives if they are what the bridge handed over under this name.</summary>
        public ObjectiveSet Read()
        {
            ObjectiveSet objectives = ObjectiveSet.Of(json);
            if (Name != Prefix + objectives.Sha256.Substring(0, HashInName))
                throw new Refused(
                    "not-handed-over", "The folder " + Name + " holds other objectives than those that were approved under "
                    + "its name.");
            return objectives;
        }

        /// <summary>Refuses what the bridge took back while the planner looked at it: its approval is void.</summary>
        public void RequireStillThere()
        {
            try
            {
                if (JsonWriter.Canonical(ObjectiveSet.ReadFile(ObjectivesPath)) == JsonWriter.Canonical(json))
                    return;
            }
            catch (Exception error)
            {
                if (!(error is Refused || FileTrouble.Is(error)))
                    throw;
            }
            throw new Refused(
                "withdrawn", "The objectives in " + Name + " were taken back or changed since they were shown; start again.");
        }

        /// <summary>Raises an error before anything is changed, rather than after it, if no receipt could be written.</summary>
        public void RequireWritable()
        {
            string probe = PartOf(ReceiptFile);
            try
            {
                File.WriteAllText(probe, string.Empty);
                File.Delete(probe);
            }
            catch (Exception error)
            {
                if (!FileTrouble.Is(error))
                    throw;
                throw new Refused("receipt-not-writable", "No receipt can be written to " + Name + ": " + error.Message);
            }
        }

        /// <summary>Gives a receipt that says why nothing was changed; null where no hash says what it would answer.</summary>
        public Receipt RefusalOf(Refused refused, string planUid)
        {
            string hash = Claims("sha256");
            return Regex.IsMatch(hash, @"\A[0-9a-f]{64}\z") ? Receipt.OfRefusal(hash, planUid, refused) : null;
        }

        /// <summary>Writes a receipt in one step: the bridge sees all of it or nothing.</summary>
        public void Write(Receipt receipt)
        {
            string file = receipt.IsRefusal && IsApplied() ? LaterRefusalFile : ReceiptFile;
            string target = Path.Combine(path, file), part = PartOf(file);
            File.WriteAllText(part, JsonWriter.Canonical(receipt.ToJson()) + "\n", JsonWriter.Utf8);
            if (File.Exists(target))
                File.Replace(part, target, null);
            else
                File.Move(part, target);
        }

        /// <summary>A name of its own: two workstations may answer the same hand-over at once.</summary>
        private string PartOf(string file)
        {
            return Path.Combine(path, file + "." + Guid.NewGuid().ToString("N") + ".part");
        }

        private bool IsApplied()
        {
            string receipt = Path.Combine(path, ReceiptFile);
            try
            {
                return File.Exists(receipt) && Text(ObjectiveSet.ReadFile(receipt), "state") == "applied";
            }
            catch (Refused)
            {
                return false; // what is no JSON says nothing that a new receipt would hide
            }
        }

        private string Claims(params string[] names)
        {
            return Text(json, names);
        }

        private static string Text(Json json, params string[] names)
        {
            try
            {
                return names.Aggregate(json, (value, name) => value[name]).Text;
            }
            catch (FormatException)
            {
                return string.Empty;
            }
        }
    }
}
