// Stub of ExternalPlanSetup: prescription, approval, and an optimizer and a dose calculation that only succeed.

using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public class CalculationResult
    {
        internal CalculationResult(bool success)
        {
            Success = success;
        }

        public bool Success { get; private set; }
    }

    public class OptimizerResult : CalculationResult
    {
        internal OptimizerResult(bool success) : base(success)
        {
        }
    }

    public class Beam : ApiDataObject
    {
        internal Beam(string id, bool setup, GantryDirection direction) : base(id)
        {
            IsSetupField = setup;
            GantryDirection = direction;
        }

        public bool IsSetupField { get; private set; }

        public GantryDirection GantryDirection { get; private set; }
    }

    public class ExternalBeamMachineParameters
    {
        public ExternalBeamMachineParameters(
            string machineId, string energyModeId, int doseRate, string techniqueId, string primaryFluenceModeId)
        {
            MachineId = machineId;
        }

        public string MachineId { get; private set; }
    }

    /// <summary>A cumulative DVH and its statistics; Volume in cc.</summary>
    public class DVHData
    {
        internal DVHData(DVHPoint[] curve, DoseValue dose, double volume)
        {
            CurveData = curve;
            MinDose = MaxDose = MeanDose = dose;
            Volume = volume;
        }

        public DVHPoint[] CurveData { get; private set; }

        public DoseValue MinDose { get; private set; }

        public DoseValue MaxDose { get; private set; }

        public DoseValue MeanDose { get; private set; }

        public double Volume { get; private set; }
    }

    public abstract class PlanningItem : ApiDataObject
    {
        internal PlanningItem(string id, StructureSet structureSet) : base(id)
        {
            StructureSet = structureSet;
        }

        public StructureSet StructureSet { get; private set; }

        /// <summary>The dose that is everywhere, or undefined where there is none: the stub has no dose engine.</summary>
        internal abstract DoseValue UniformDose { get; }

        public DVHData GetDVHCumulativeData(
            Structure structure, DoseValuePresentation dosePresentation, VolumePresentation volumePresentation, double binWidth)
        {
            if (UniformDose.IsUndefined() || structure.IsEmpty || !(binWidth > 0))
                return null;
            bool relative = dosePresentation == DoseValuePresentation.Relative;
            DoseValue dose = relative ? new DoseValue(100, DoseValue.DoseUnit.Percent) : UniformDose;
            bool percent = volumePresentation == VolumePresentation.Relative;
            double all = percent ? 100 : structure.Volume;
            int bins = (int)Math.Floor(dose.Dose / binWidth) + 2;
            DVHPoint[] curve = Enumerable.Range(0, bins)
                .Select(bin => bin * binWidth)
                .Select(at => new DVHPoint(new DoseValue(at, dose.Unit), at <= dose.Dose ? all : 0, percent ? "%" : "cm3"))
                .ToArray();
            return new DVHData(curve, dose, structure.Volume);
        }
    }

    public abstract class PlanSetup : PlanningItem
    {
        internal readonly Host Host;
        internal readonly List<Beam> AllBeams = new List<Beam>();
        private readonly Dictionary<CalculationType, string> models = new Dictionary<CalculationType, string>();
        private readonly Dictionary<string, string> options = new Dictionary<string, string>();
        private DoseValue perFraction = DoseValue.UndefinedDose();

        internal PlanSetup(string id, StructureSet structureSet, Host host) : base(id, structureSet)
        {
            Host = host;
            UID = "2.25." + (7 + host.Plans.Count);
            host.Plans.Add(this);
            ApprovalStatus = PlanSetupApprovalStatus.UnApproved;
            OptimizationSetup = new OptimizationSetup(this);
        }

        public string UID { get; internal set; }

        public PlanSetupApprovalStatus ApprovalStatus { get; internal set; }

        public OptimizationSetup OptimizationSetup { get; private set; }

        public IEnumerable<Beam> Beams
        {
            get { return AllBeams; }
        }

        public int? NumberOfFractions { get; private set; }

        public DoseValue TotalDose
        {
            get
            {
                return NumberOfFractions == null
                    ? perFraction
                    : new DoseValue(perFraction.Dose * NumberOfFractions.Value, perFraction.Unit);
            }
        }

        public bool IsDoseValid { get; internal set; }

        internal override DoseValue UniformDose
        {
            get { return IsDoseValid ? TotalDose : DoseValue.UndefinedDose(); }
        }

        public void SetPrescription(int numberOfFractions, DoseValue dosePerFraction, double treatmentPercentage)
        {
            RequireChange();
            Host.RequireUnit(dosePerFraction);
            if (numberOfFractions < 1 || !(dosePerFraction.Dose > 0) || !(treatmentPercentage > 0))
                throw Host.Argument("prescription-range", "fractions, dose and percentage are above 0");
            NumberOfFractions = numberOfFractions;
            perFraction = dosePerFraction;
        }

        public string GetCalculationModel(CalculationType calculationType)
        {
            return models.ContainsKey(calculationType) ? models[calculationType] : string.Empty;
        }

        /// <summary>Takes any model; its options start as they are installed.</summary>
        public void SetCalculationModel(CalculationType calculationType, string model)
        {
            RequireChange();
            models[calculationType] = model;
            options["CalculationGridSizeInCM"] = "0.25";
        }

        /// <summary>Without the model of its dose a plan loses the dose.</summary>
        public void ClearCalculationModel(CalculationType calculationType)
        {
            RequireChange();
            models.Remove(calculationType);
            options.Clear();
            if (calculationType == CalculationType.PhotonVolumeDose)
                IsDoseValid = false;
        }

        public Dictionary<string, string> GetCalculationOptions(string calculationModel)
        {
            return new Dictionary<string, string>(options);
        }

        public bool SetCalculationOption(string calculationModel, string optionName, string optionValue)
        {
            RequireChange();
            if (!options.ContainsKey(optionName))
                return false;
            options[optionName] = optionValue;
            return true;
        }

        internal void RequireChange()
        {
            Host.RequireModifications();
            if (ApprovalStatus != PlanSetupApprovalStatus.UnApproved)
                throw Host.Application("plan-approved", "a plan is changed while it is unapproved");
        }
    }

    public class ExternalPlanSetup : PlanSetup
    {
        /// <summary>What was called, in order; not part of ESAPI.</summary>
        internal readonly List<string> Calls = new List<string>();

        internal ExternalPlanSetup(string id, StructureSet structureSet, Host host) : base(id, structureSet, host)
        {
        }

        public Beam AddVMATBeam(
            ExternalBeamMachineParameters machineParameters, IEnumerable<double> metersetWeights, double collimatorAngle,
            double gantryAngle, double gantryStop, GantryDirection gantryDirection, double patientSupportAngle, VVector isocenter)
        {
            RequireChange();
            var angles = new[] { collimatorAngle, gantryAngle, gantryStop, patientSupportAngle };
            if (!angles.All(angle => angle >= 0 && angle < 360) || gantryDirection == GantryDirection.None)
                throw Host.Argument("beam-angle", "angles are 0 to 360 degrees, and a gantry of VMAT turns");
            AllBeams.Add(new Beam("Field " + (AllBeams.Count + 1), false, gantryDirection));
            return AllBeams.Last();
        }

        public OptimizerResult OptimizeVMAT()
        {
            return new OptimizerResult(Record("OptimizeVMAT"));
        }

        public OptimizerResult Optimize()
        {
            return new OptimizerResult(Record("Optimize"));
        }

        public CalculationResult CalculateLeafMotions()
        {
            return new CalculationResult(Record("CalculateLeafMotions") && Calls.Contains("Optimize"));
        }

        public CalculationResult CalculateDose()
        {
            bool deliverable = !Calls.Contains("Optimize") || Calls.Contains("CalculateLeafMotions");
            IsDoseValid = Record("CalculateDose") && deliverable;
            return new CalculationResult(IsDoseValid);
        }

        private bool Record(string call)
        {
            RequireChange();
            Calls.Add(call);
            return OptimizationSetup.Objectives.Any() && Beams.Any(beam => !beam.IsSetupField);
        }
    }
}
