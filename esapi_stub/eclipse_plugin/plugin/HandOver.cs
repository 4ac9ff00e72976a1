using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>The whole run: find, check, preview, add, optimize, answer.</summary>
    public sealed class HandOver
    {
        private readonly Settings settings;
        private readonly IDialog dialog;

        public HandOver(Settings settings, IDialog dialog)
        {
            this.settings = settings;
            this.dialog = dialog;
        }

        /// <summary>Runs with the settings beside an assembly; what stops it is told, not thrown.</summary>
        public static void Start(string assemblyPath, IDialog dialog, Patient patient, ExternalPlanSetup plan)
        {
            try
            {
                new HandOver(Settings.Beside(assemblyPath), dialog).Run(patient, plan);
            }
            catch (Refused refused)
            {
                dialog.Tell(refused.Message);
            }
            catch (Exception error)
            {
                if (!FileTrouble.Is(error))
                    throw;
                dialog.Tell("The drop folder cannot be read: " + error.Message);
            }
        }

        /// <summary>Offers the hand-overs for the plan's structure set, the newest first, until the planner takes one.</summary>
        public void Run(Patient patient, ExternalPlanSetup plan)
        {
            if (patient == null || plan == null || plan.StructureSet == null)
            {
                dialog.Tell("Open a patient and an external beam plan on a structure set, then start this again.");
                return;
            }
            var others = new List<string>();
            var unreadable = new List<string>();
            IList<HandOverFolder> offered = HandOverFolder.For(
                settings.DropFolder, plan.StructureSet.UID, others, unreadable);
            if (offered.Count == 0)
                dialog.Tell(
                    "There are no objectives for the structure set " + plan.StructureSet.Id + " (" + plan.StructureSet.UID
                    + ") in " + settings.DropFolder + ": "
                    + (others.Count + unreadable.Count == 0
                        ? "no hand-overs at all are there. Is this the folder that the bridge writes to?"
                        : others.Count + " there for other structure sets, none for this one.")
                    + (unreadable.Count == 0 ? string.Empty : " These cannot be read: " + string.Join(", ", unreadable) + "."));
            foreach (HandOverFolder folder in offered)
                if (Offer(folder, patient, plan) != Answer.No)
                    return;
        }

        /// <summary>Checks one hand-over, shows what it would do, and does it if the planner says yes.</summary>
        public Answer Offer(HandOverFolder folder, Patient patient, ExternalPlanSetup plan)
        {
            try
            {
                ObjectiveSet objectives = folder.Read();
                RequireApproval(objectives);
                PlanCheck.Require(objectives, patient, plan);
                RequireBeams(plan);
                folder.RequireWritable();
                Answer answer = dialog.Ask(Preview.Of(objectives, plan, settings));
                if (answer == Answer.Yes)
                {
                    folder.RequireStillThere();
                    Apply(objectives, folder, patient, plan);
                }
                return answer;
            }
            catch (Refused refused)
            {
                Receipt receipt = folder.RefusalOf(refused, plan.UID);
                string said = receipt == null
                    ? "No receipt was written: the file holds no hash that one could answer."
                    : Write(receipt, folder);
                dialog.Tell("Nothing was changed. " + refused.Message + Environment.NewLine + said);
                return Answer.Cancel;
            }
        }

        private void Apply(ObjectiveSet objectives, HandOverFolder folder, Patient patient, ExternalPlanSetup plan)
        {
            Receipt receipt = Receipt.Applied(objectives, plan.UID);
            Begin(patient);
            if (DoseDiscard.IsNeeded(objectives, plan))
                receipt.Notes.AddRange(DoseDiscard.Of(plan));
            new PlanWriter(plan, objectives, receipt).Replace();
            if (settings.Optimize && receipt.Refused.Count > 0)
                receipt.Notes.Add("Not optimized, because some of what was asked was refused.");
            else if (settings.Optimize)
                Optimize(plan, receipt);
            var lines = new List<string> { receipt.Added.Count + " objectives were added to the plan " + plan.Id + "." };
            lines.AddRange(receipt.Refused.Select(outcome => "Refused: " + outcome.Words));
            lines.AddRange(receipt.Notes);
            lines.Add(Write(receipt, folder));
            lines.Add("Save the plan to keep the changes.");
            dialog.Tell(string.Join(Environment.NewLine, lines));
        }

        private void RequireApproval(ObjectiveSet objectives)
        {
            if (settings.RequireApproval && objectives.Approval == null)
                throw new Refused("not-approved", "Nobody approved these objectives; approve them and hand them over again.");
        }

        private static void Begin(Patient patient)
        {
            try
            {
                patient.BeginModifications();
            }
            catch (Exception error)
            {
                // no licence, a script that is not approved, another user: nothing was changed yet
                throw new Refused("not-writable", "The planning system takes no changes: " + error.Message);
            }
        }

        private void RequireBeams(ExternalPlanSetup plan)
        {
            if (settings.Optimize && !TreatmentBeams(plan).Any())
                throw new Refused("no-beams", "The plan " + plan.Id + " has no beams to optimize; add them first.");
        }

        private static IEnumerable<Beam> TreatmentBeams(ExternalPlanSetup plan)
        {
            return plan.Beams.Where(beam => !beam.IsSetupField);
        }

        private void Optimize(ExternalPlanSetup plan, Receipt receipt)
        {
            bool arcs = TreatmentBeams(plan).Any(beam => beam.GantryDirection != GantryDirection.None);
            bool done = arcs
                ? Succeeds("Optimization of arcs", () => plan.OptimizeVMAT(), receipt)
                : Succeeds("Optimization of fixed beams", () => plan.Optimize(), receipt)
                    && Succeeds("Calculation of leaf motions", () => plan.CalculateLeafMotions(), receipt);
            if (done && settings.CalculateDose)
                Succeeds("Calculation of the dose", () => plan.CalculateDose(), receipt);
        }

        private static bool Succeeds(string what, Func<CalculationResult> calculate, Receipt receipt)
        {
            try
            {
                bool success = calculate().Success;
                receipt.Notes.Add(what + (success ? ": done." : ": the planning system says that it failed."));
                return success;
            }
            catch (Exception error)
            {
                // the objectives are in the plan whatever happens here, and the receipt has to say so
                receipt.Notes.Add(what + " failed: " + error.Message);
                return false;
            }
        }

        private static string Write(Receipt receipt, HandOverFolder folder)
        {
            try
            {
                folder.Write(receipt);
                return "A receipt was written to " + folder.Name + ".";
            }
            catch (Exception error)
            {
                if (!FileTrouble.Is(error))
                    throw;
                return "No receipt could be written to " + folder.Name + ": " + error.Message;
            }
        }
    }
}
