using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>
    /// Takes the dose of a plan away, so that structures can be shaped again: the host does not let them be edited while
    /// the dose is there. The model of the dose is cleared and set again; the plan keeps it, and has no dose.
    /// </summary>
    public static class DoseDiscard
    {
        private const CalculationType Dose = CalculationType.PhotonVolumeDose;

        public static bool IsNeeded(ObjectiveSet objectives, ExternalPlanSetup plan)
        {
            return objectives.DerivedStructures.Count > 0 && plan.IsDoseValid;
        }

        /// <summary>Gives what the planner has to know; throws Refused where nothing could be changed.</summary>
        public static IList<string> Of(ExternalPlanSetup plan)
        {
            string model;
            var options = new Dictionary<string, string>();
            try
            {
                model = plan.GetCalculationModel(Dose);
                if (!string.IsNullOrEmpty(model))
                    options = plan.GetCalculationOptions(model);
                plan.ClearCalculationModel(Dose);
            }
            catch (Exception error)
            {
                throw new Refused(
                    "dose-locked", "Structures have to be made, and the dose of the plan " + plan.Id + " stays: " + error.Message);
            }
            var notes = new List<string>
            {
                "The plan's dose was discarded, because structures cannot be shaped while it is there."
            };
            if (!string.IsNullOrEmpty(model))
                SetAgain(plan, model, options, notes);
            return notes;
        }

        private static void SetAgain(
            ExternalPlanSetup plan, string model, IDictionary<string, string> options, ICollection<string> notes)
        {
            try
            {
                plan.SetCalculationModel(Dose, model);
                string[] lost = options.Where(option => !plan.SetCalculationOption(model, option.Key, option.Value))
                    .Select(option => option.Key).ToArray();
                if (lost.Length > 0)
                    notes.Add("Options of " + model + " that could not be set again: " + string.Join(", ", lost) + ".");
            }
            catch (Exception error)
            {
                // the dose is gone whatever happens here, and the receipt has to say so
                notes.Add("Its dose calculation model " + model + " could not be set again: " + error.Message);
            }
        }
    }
}
