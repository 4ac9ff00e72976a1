using System;
using System.Globalization;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>Whether objectives are for this patient, structure set and plan; asked before anything is changed.</summary>
    public static class PlanCheck
    {
        /// <summary>DICOM type of the structures that the plug-in makes, by which it knows them again.</summary>
        public const string DerivedType = "CONTROL";

        private const double SameDoseGy = 0.005;

        public static void Require(ObjectiveSet objectives, Patient patient, ExternalPlanSetup plan)
        {
            RequirePatient(objectives, patient, plan);
            if (plan.ApprovalStatus != PlanSetupApprovalStatus.UnApproved)
                throw new Refused(
                    "plan-approved", "The plan " + plan.Id + " is " + plan.ApprovalStatus + "; only an unapproved plan is changed.");
            RequirePrescription(objectives, plan);
            RequireStructures(objectives, plan.StructureSet);
            if (objectives.DerivedStructures.Count > 0)
                RequireUnlocked(patient, plan);
            if (PlanContent.Holds(plan, objectives))
                throw new Refused(
                    "already-applied", "The plan " + plan.Id + " holds exactly these objectives already; nothing was changed.");
        }

        private static void RequirePatient(ObjectiveSet objectives, Patient patient, ExternalPlanSetup plan)
        {
            if (!patient.StructureSets.Any(set => set.UID == objectives.StructureSetUid))
                throw new Refused(
                    "other-patient", "The objectives are for the structure set " + objectives.StructureSetUid
                    + ", which the open patient does not have.");
            if (plan.StructureSet == null || plan.StructureSet.UID != objectives.StructureSetUid)
                throw new Refused(
                    "other-structure-set", "The objectives are for the structure set " + objectives.StructureSetUid
                    + ", and the plan " + plan.Id + " is on another one of this patient.");
            if (plan.StructureSet.Image.FOR != objectives.FrameOfReferenceUid)
                throw new Refused(
                    "other-frame-of-reference", "The objectives are for the frame of reference "
                    + objectives.FrameOfReferenceUid + ", the plan's image has " + plan.StructureSet.Image.FOR + ".");
        }

        private static void RequirePrescription(ObjectiveSet objectives, ExternalPlanSetup plan)
        {
            if (plan.NumberOfFractions == null || plan.TotalDose.IsUndefined())
                throw new Refused("no-prescription", "The plan " + plan.Id + " has no prescription; prescribe first.");
            double totalGy = plan.TotalDose.Dose / PlanWriter.PerGy(plan);
            if (Math.Abs(totalGy - objectives.HighestGy) > SameDoseGy)
                throw new Refused(
                    "other-prescription", "The objectives are for a total dose of " + Objective.Format(objectives.HighestGy)
                    + " Gy, the plan prescribes " + Objective.Format(totalGy) + " Gy.");
            if (objectives.Fractions != null && objectives.Fractions != plan.NumberOfFractions)
                throw new Refused(
                    "other-prescription", "The objectives are for " + objectives.Fractions + " fractions, the plan has "
                    + plan.NumberOfFractions + ".");
        }

        private static void RequireStructures(ObjectiveSet objectives, StructureSet structures)
        {
            foreach (StructureVolume needed in objectives.NeededStructures)
                RequireDrawn(objectives, structures, needed);
            foreach (DerivedStructure recipe in objectives.DerivedStructures)
            {
                Structure present = structures.Structures.FirstOrDefault(s => s.Id == recipe.Name);
                if (present != null && present.DicomType != DerivedType)
                    throw new Refused(
                        "derived-name-taken", "The structure " + recipe.Name + " is drawn as " + present.DicomType
                        + "; rename it, so that it is not overwritten.");
                if (present == null && !structures.CanAddStructure(DerivedType, recipe.Name))
                    throw new Refused("derived-name-taken", "No structure " + recipe.Name + " can be added to the structure set.");
            }
        }

        /// <summary>Another plan's dose locks the structures too, and is not for this hand-over to discard.</summary>
        private static void RequireUnlocked(Patient patient, ExternalPlanSetup plan)
        {
            foreach (Course course in patient.Courses)
                foreach (PlanSetup other in course.PlanSetups)
                    if (other.UID != plan.UID && other.IsDoseValid && other.StructureSet != null
                        && other.StructureSet.UID == plan.StructureSet.UID)
                        throw new Refused(
                            "structure-locked", "Structures have to be made, and the plan " + other.Id + " in course "
                            + course.Id + " has a dose on the same structure set, which locks it. Clear that dose, or plan on a "
                            + "copy of the structure set.");
        }

        /// <summary>A structure has to be there as it was: by its number, with its name and contours of its volume.</summary>
        private static void RequireDrawn(ObjectiveSet objectives, StructureSet structures, StructureVolume needed)
        {
            string wanted = "ROI " + needed.RoiNumber + " (" + needed.RoiName + ")";
            Structure found = structures.Structures.FirstOrDefault(s => s.ROINumber == needed.RoiNumber);
            if (found == null)
                throw new Refused("structure-missing", "The plan's structure set has no " + wanted + ".");
            string expected = objectives.IdOf(needed.RoiName);
            if (!objectives.IsId(found.Id, needed.RoiName))
                throw new Refused(
                    "structure-renamed", wanted + " is called " + found.Id + " in the plan's structure set"
                    + (expected == needed.RoiName
                        ? string.Empty
                        : "; rename it to " + expected + ", which stands for its long name") + ".");
            if (found.IsEmpty)
                throw new Refused("structure-empty", wanted + " has no contours in the plan's structure set.");
            if (!needed.Fits(found.Volume))
                throw new Refused(
                    "structure-changed", wanted + " has " + Cc(found.Volume) + " in the plan's structure set; the objectives "
                    + "were made for " + Cc(needed.VolumeCc) + ", give or take " + Cc(needed.ToleranceCc) + ". Its contours are "
                    + "others now: send the structure set to the bridge and predict anew.");
        }

        private static string Cc(double volume)
        {
            return volume.ToString("F2", CultureInfo.InvariantCulture) + " cc";
        }
    }
}
