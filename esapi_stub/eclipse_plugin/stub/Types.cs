// Stub of VMS.TPS.Common.Model.Types: the values and enumerations that the plug-in needs, by their public names.

using System.Globalization;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>What an objective asks.</summary>
    public enum OptimizationObjectiveOperator
    {
        Upper = 0,
        Lower = 1,
        Exact = 2,
        None = 99
    }

    public enum DoseValuePresentation
    {
        Relative = 0,
        Absolute = 1
    }

    public enum VolumePresentation
    {
        Relative = 0,
        AbsoluteCm3 = 1
    }

    /// <summary>What a model calculates. The numbers are those of 15.6, and moved in 16.1.</summary>
    public enum CalculationType
    {
        PhotonVolumeDose = 0,
        PhotonSRSDose = 1,
        PhotonIMRTOptimization = 2,
        PhotonVMATOptimization = 3,
        PhotonLeafMotions = 4,
        ProtonVolumeDose = 5,
        DVHEstimation = 6
    }

    /// <summary>Which way a gantry turns.</summary>
    public enum GantryDirection
    {
        None = 0,
        Clockwise = 1,
        CounterClockwise = 2
    }

    /// <summary>How far a plan's approval has come.</summary>
    public enum PlanSetupApprovalStatus
    {
        Rejected = 0,
        UnApproved = 1,
        Reviewed = 2,
        PlanningApproved = 3,
        TreatmentApproved = 4,
        CompletedEarly = 5,
        Completed = 6,
        Retired = 7,
        UnPlannedTreatment = 8,
        ExternallyApproved = 9,
        Unknown = 999
    }

    /// <summary>A dose with its unit.</summary>
    public struct DoseValue
    {
        /// <summary>Units of dose.</summary>
        public enum DoseUnit
        {
            Unknown = 0,
            Gy = 1,
            cGy = 2,
            Percent = 3
        }

        private readonly double dose;
        private readonly DoseUnit unit;

        public DoseValue(double value, DoseUnit unit)
        {
            dose = value;
            this.unit = unit;
        }

        public double Dose
        {
            get { return dose; }
        }

        public DoseUnit Unit
        {
            get { return unit; }
        }

        public static DoseValue UndefinedDose()
        {
            return new DoseValue(double.NaN, DoseUnit.Unknown);
        }

        public bool IsUndefined()
        {
            return double.IsNaN(dose);
        }

        public override string ToString()
        {
            return dose.ToString("G6", CultureInfo.InvariantCulture) + " " + unit;
        }
    }

    /// <summary>The volume that gets at least a dose, in % or cm3.</summary>
    public struct DVHPoint
    {
        private readonly DoseValue dose;
        private readonly double volume;
        private readonly string volumeUnit;

        public DVHPoint(DoseValue dose, double volume, string volumeUnit)
        {
            this.dose = dose;
            this.volume = volume;
            this.volumeUnit = volumeUnit;
        }

        public DoseValue DoseValue
        {
            get { return dose; }
        }

        public double Volume
        {
            get { return volume; }
        }

        public string VolumeUnit
        {
            get { return volumeUnit; }
        }
    }

    /// <summary>A position in mm, DICOM patient coordinates.</summary>
    public struct VVector
    {
        public VVector(double xi, double yi, double zi) : this()
        {
            x = xi;
            y = yi;
            z = zi;
        }

        public double x { get; set; }

        public double y { get; set; }

        public double z { get; set; }
    }
}
