using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>Puts objectives into a plan, one by one; one that the host refuses does not stop the others.</summary>
    public sealed class PlanWriter
    {
        private readonly ExternalPlanSetup plan;
        private readonly ObjectiveSet objectives;
        private readonly Receipt receipt;

        public PlanWriter(ExternalPlanSetup plan, ObjectiveSet objectives, Receipt receipt)
        {
            this.plan = plan;
            this.objectives = objectives;
            this.receipt = receipt;
        }

        /// <summary>How many of the unit that the system is set to are 1 Gy.</summary>
        public static double PerGy(ExternalPlanSetup plan)
        {
            switch (plan.TotalDose.Unit)
            {
                case DoseValue.DoseUnit.Gy:
                    return 1;
                case DoseValue.DoseUnit.cGy:
                    return 100;
                default:
                    throw new Refused(
                        "unknown-unit", "The plan's dose is in " + plan.TotalDose.Unit + "; only Gy and cGy are understood.");
            }
        }

        public void Replace()
        {
            var before = plan.OptimizationSetup.Objectives.ToList();
            int removed = before.Count(Remove);
            if (removed > 0)
                receipt.Notes.Add(removed + " objectives that were in the plan were removed.");
            foreach (DerivedStructure recipe in objectives.DerivedStructures)
            {
                var outcome = new Outcome(null, recipe.Name, "make " + recipe.Words, string.Empty);
                if (Attempt(outcome, null, () => Make(recipe)))
                    receipt.Made.Add(recipe.Name);
            }
            foreach (Objective objective in objectives.Objectives)
            {
                var outcome = new Outcome(objective.Position, objective.RoiName, objective.Words, string.Empty);
                Attempt(outcome, receipt.Added, () => Add(objective));
            }
            if (objectives.NormalTissue != null)
                Attempt(
                    new Outcome(null, string.Empty, "normal tissue objective", string.Empty),
                    receipt.Added,
                    () => AddNormalTissue(objectives.NormalTissue));
            else if (PlanContent.NormalTissueIn(plan) != null)
                receipt.Notes.Add("The plan's normal tissue objective stays as it was.");
        }

        private bool Remove(OptimizationObjective objective)
        {
            var outcome = new Outcome(null, objective.StructureId, "remove an objective that was in the plan", string.Empty);
            return Attempt(outcome, null, () => plan.OptimizationSetup.RemoveObjective(objective));
        }

        private bool Attempt(Outcome outcome, ICollection<Outcome> done, Action act)
        {
            try
            {
                act();
            }
            catch (Exception error)
            {
                // whatever the host throws is its answer to this one item, and belongs in the receipt
                receipt.Refused.Add(outcome.Because(error.Message));
                return false;
            }
            if (done != null)
                done.Add(outcome);
            return true;
        }

        private void Add(Objective objective)
        {
            if (objective.Terms.Count == 0)
                throw new InvalidOperationException(
                    "the line is at 0 Gy wherever it is sampled, and a point at 0 Gy cannot be asked for");
            if (objective.RoiNumber == null && !receipt.Made.Contains(objective.RoiName))
                throw new InvalidOperationException("the derived structure " + objective.RoiName + " could not be made");
            Structure structure = objective.RoiNumber == null
                ? plan.StructureSet.Structures.First(s => s.Id == objective.RoiName)
                : plan.StructureSet.Structures.First(s => s.ROINumber == objective.RoiNumber);
            var landed = new List<OptimizationObjective>();
            try
            {
                foreach (Term term in objective.Terms)
                    landed.Add(Add(structure, term));
            }
            catch (Exception)
            {
                // a line that the receipt calls refused must not be in the plan in part
                landed.ForEach(plan.OptimizationSetup.RemoveObjective);
                throw;
            }
        }

        private OptimizationObjective Add(Structure structure, Term term)
        {
            var dose = new DoseValue(term.DoseGy * PerGy(plan), plan.TotalDose.Unit);
            OptimizationSetup setup = plan.OptimizationSetup;
            OptimizationObjectiveOperator asked = PlanContent.OperatorOf(term);
            if (term.Kind == "mean")
                return setup.AddMeanDoseObjective(structure, dose, term.Priority);
            if (term.Kind == "geud")
                return setup.AddEUDObjective(structure, asked, dose, term.Number, term.Priority);
            return setup.AddPointObjective(structure, asked, dose, term.Number, term.Priority);
        }

        private void AddNormalTissue(NormalTissue asked)
        {
            if (asked.DistanceMm == null)
                plan.OptimizationSetup.AddAutomaticNormalTissueObjective(asked.Priority);
            else
                plan.OptimizationSetup.AddNormalTissueObjective(
                    asked.Priority, asked.DistanceMm.Value, asked.StartPercent, asked.EndPercent, asked.FallOffPerMm);
        }

        /// <summary>Makes a derived structure, or shapes the one that an earlier run made.</summary>
        private void Make(DerivedStructure recipe)
        {
            SegmentVolume shape = recipe.IsRing ? Ring(recipe) : Remainder(recipe);
            Structure structure = plan.StructureSet.Structures.FirstOrDefault(s => s.Id == recipe.Name)
                ?? plan.StructureSet.AddStructure(PlanCheck.DerivedType, recipe.Name);
            structure.SegmentVolume = shape;
        }

        private SegmentVolume Remainder(DerivedStructure recipe)
        {
            return recipe.Minus
                .Select(name => Named(name).SegmentVolume.Margin(recipe.MarginMm))
                .Aggregate(Named(recipe.Of[0]).SegmentVolume, (rest, cut) => rest.Sub(cut));
        }

        private SegmentVolume Ring(DerivedStructure recipe)
        {
            SegmentVolume core = recipe.Of.Select(name => Named(name).SegmentVolume).Aggregate((a, b) => a.Or(b));
            SegmentVolume shell = core.Margin(recipe.OuterMm).Sub(core.Margin(recipe.InnerMm));
            return Named(recipe.Within).SegmentVolume.And(shell);
        }

        private Structure Named(string name)
        {
            Structure found = plan.StructureSet.Structures
                .Where(s => objectives.IsId(s.Id, name)).OrderBy(s => s.IsEmpty).FirstOrDefault();
            if (found == null)
                throw new InvalidOperationException("the plan's structure set has no structure " + name);
            return found;
        }
    }
}
